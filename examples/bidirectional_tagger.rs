//! A tagger: two bidirectional LSTM layers and a linear layer choose a tag for every word of a sentence.
//!
//! Sentences of different lengths share a batch:
//!
//! ```sh
//! cargo run --release --example bidirectional_tagger
//! ```
//!
//! The weights and the embeddings of the words are random, since there are no trained ones here. So the tags mean
//! nothing.

use anyhow::{Result, ensure};
use rnnpack::{Layer, LayerWeights, Sequence, Stack};

const EMBEDDING: usize = 8;
const HIDDEN: usize = 12;
const TAGS: [&str; 4] = ["noun", "verb", "adjective", "other"];
/// The number of words of each sentence.
const LENS: [i32; 3] = [4, 7, 2];

struct Tagger {
    lstm: Stack,
    /// `[TAGS, 2 · HIDDEN]`
    linear: Vec<f32>,
}

impl Tagger {
    fn random(rng: &mut fastrand::Rng) -> Result<Tagger> {
        let mut random = |len: usize| -> Vec<f32> { (0..len).map(|_| 2.0 * rng.f32() - 1.0).collect() };
        let mut layer = |input: usize| -> Result<Layer> {
            // Two directions: W [2, 4·H, I], R [2, 4·H, H], B [2, 8·H].
            let (w, r) = (random(2 * 4 * HIDDEN * input), random(2 * 4 * HIDDEN * HIDDEN));
            let b = random(2 * 8 * HIDDEN);
            Ok(LayerWeights::lstm(input, HIDDEN).bidirectional().w(&w).r(&r).b(&b).pack()?)
        };
        // The second layer reads both directions of the first.
        let lstm = Stack::new(vec![layer(EMBEDDING)?, layer(2 * HIDDEN)?])?;
        Ok(Tagger { lstm, linear: random(TAGS.len() * 2 * HIDDEN) })
    }

    /// The scores of every word of every sentence. `x` is `[B, T, EMBEDDING]`. Beyond a sentence's length it holds
    /// padding, which is not read.
    fn scores(&self, x: &[f32], time: usize, lens: &[i32]) -> Result<Vec<Vec<[f32; TAGS.len()]>>> {
        let batch = lens.len();
        // Batch-major, [B, T, D, H]: the two directions of a word are next to each other.
        let mut y = vec![0.0; batch * time * 2 * HIDDEN];
        self.lstm.stream(batch)?.run(Sequence::dense(x, &mut y).lens(lens).batch_major())?;
        let words = |(sentence, &len): (&[f32], &i32)| {
            let (words, padding) = sentence.split_at(len as usize * 2 * HIDDEN);
            ensure!(padding.iter().all(|&v| v == 0.0), "the output beyond a sentence is not zero");
            Ok(words.chunks_exact(2 * HIDDEN).map(|h| self.linear(h)).collect())
        };
        y.chunks_exact(time * 2 * HIDDEN).zip(lens).map(words).collect()
    }

    fn linear(&self, h: &[f32]) -> [f32; TAGS.len()] {
        let row = |tag: usize| &self.linear[tag * h.len()..][..h.len()];
        std::array::from_fn(|tag| row(tag).iter().zip(h).map(|(w, h)| w * h).sum())
    }
}

fn main() -> Result<()> {
    ensure!(std::env::args().len() == 1, "usage: bidirectional_tagger (it has no arguments)");
    let mut rng = fastrand::Rng::with_seed(3);
    let tagger = Tagger::random(&mut rng)?;
    let sentences: Vec<Vec<f32>> = LENS
        .iter()
        .map(|&len| (0..len as usize * EMBEDDING).map(|_| 2.0 * rng.f32() - 1.0).collect())
        .collect();

    // One batch: every sentence is padded with zeros to the length of the longest one.
    let time = LENS.iter().max().map_or(0, |&len| len as usize);
    let mut x = vec![0.0; LENS.len() * time * EMBEDDING];
    for (row, sentence) in x.chunks_exact_mut(time * EMBEDDING).zip(&sentences) {
        row[..sentence.len()].copy_from_slice(sentence);
    }
    let scores = tagger.scores(&x, time, &LENS)?;
    for (i, words) in scores.iter().enumerate() {
        println!("sentence {i} of {} words", LENS[i]);
        for (word, scores) in words.iter().enumerate() {
            let text: Vec<String> = scores.iter().map(|score| format!("{score:.5}")).collect();
            println!("  word {word}: {:9} {}", TAGS[argmax(scores)], text.join(" "));
        }
    }
    for (i, sentence) in sentences.iter().enumerate() {
        let alone = tagger.scores(sentence, LENS[i] as usize, &LENS[i..=i])?;
        ensure!(alone[0] == scores[i], "sentence {i} has other scores alone than in the batch");
    }
    println!("every sentence alone, without padding, gives the same bits");
    Ok(())
}

/// The index of the largest score; the first one if several are equal.
fn argmax(scores: &[f32]) -> usize {
    (1..scores.len()).fold(0, |best, i| if scores[i] > scores[best] { i } else { best })
}
