//! A run of the peers, in the CSV format of benches/peers.

use anyhow::{Context, Result, bail};
use std::collections::BTreeMap;
use std::path::Path;

pub(crate) struct Peers {
    /// The comment in the first line.
    pub(crate) machine: String,
    rows: Vec<Row>,
}

struct Row {
    op: String,
    shape: String,
    threads: String,
    peer: String,
    ratio: f64,
}

/// The results for one operator and number of threads.
pub(crate) struct Group {
    pub(crate) title: String,
    pub(crate) peers: Vec<String>,
    /// Each shape, with the ratio of each peer. `None` if the peer did not run it.
    pub(crate) shapes: Vec<(String, Vec<Option<f64>>)>,
}

impl Peers {
    pub(crate) fn read(path: &Path) -> Result<Peers> {
        Peers::parse(&std::fs::read_to_string(path)?)
    }

    /// Parses lines that start with `#`, then a line of column names, then rows. Columns are found by name. No field
    /// may contain a comma.
    pub(crate) fn parse(text: &str) -> Result<Peers> {
        let (comments, mut lines): (Vec<&str>, Vec<&str>) =
            text.lines().partition(|line| line.starts_with('#'));
        if lines.is_empty() {
            bail!("it has no line of names");
        }
        let names: Vec<&str> = lines.remove(0).split(',').collect();
        let row = |line: &&str| {
            let fields: BTreeMap<&str, &str> = names.iter().copied().zip(line.split(',')).collect();
            let field = |name: &str| {
                let found = fields.get(name).with_context(|| format!("{line:?} has no {name}"))?;
                Ok::<_, anyhow::Error>((*found).to_owned())
            };
            let shape = ["T", "B", "I", "H"].map(field).into_iter().collect::<Result<Vec<_>>>()?.join(",");
            let (op, threads, peer, dtype) =
                (field("op")?, field("threads")?, field("peer")?, field("dtype")?);
            let ratio = field("ratio")?.parse().with_context(|| format!("{line:?} has no ratio"))?;
            let peer = if dtype == "f32" { peer } else { format!("{peer} {dtype}") };
            Ok(Row { op, shape, threads, peer, ratio })
        };
        let rows = lines.iter().map(row).collect::<Result<Vec<Row>>>()?;
        let machine = comments.first().map_or("", |line| line.trim_start_matches(['#', ' '])).to_owned();
        Ok(Peers { machine, rows })
    }

    /// The results by operator and threads, in the order of the rows.
    pub(crate) fn groups(&self) -> impl Iterator<Item = Group> {
        let mut groups: Vec<Group> = Vec::new();
        for row in &self.rows {
            let threads =
                if row.threads == "1" { "1 thread".to_owned() } else { format!("{} threads", row.threads) };
            let title = format!("{}, {threads}", row.op);
            let at = groups.iter().position(|g| g.title == title).unwrap_or_else(|| {
                groups.push(Group { title, peers: Vec::new(), shapes: Vec::new() });
                groups.len() - 1
            });
            groups[at].add(row);
        }
        groups.into_iter()
    }
}

impl Group {
    fn add(&mut self, row: &Row) {
        let peer = self.peers.iter().position(|p| *p == row.peer).unwrap_or_else(|| {
            self.peers.push(row.peer.clone());
            self.peers.len() - 1
        });
        let shape = self.shapes.iter().position(|(s, _)| *s == row.shape).unwrap_or_else(|| {
            self.shapes.push((row.shape.clone(), Vec::new()));
            self.shapes.len() - 1
        });
        let ratios = &mut self.shapes[shape].1;
        ratios.resize(ratios.len().max(peer + 1), None);
        ratios[peer] = Some(row.ratio);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_grouped_by_operator_and_threads() {
        let text = "# m\nop,T,B,I,H,dtype,threads,peer,ratio\nLSTM,1,1,2,3,f32,1,rnnpack,1\nLSTM,1,1,2,3,f32,2,rnnpack,1\n\
            LSTM,5,1,2,3,f32,1,rnnpack,1\nLSTM,5,1,2,3,bf16,1,ov,0.5\n";
        let peers = Peers::parse(text).unwrap();
        let groups: Vec<Group> = peers.groups().collect();
        assert_eq!(peers.machine, "m");
        assert_eq!(
            groups.iter().map(|g| g.title.as_str()).collect::<Vec<_>>(),
            ["LSTM, 1 thread", "LSTM, 2 threads"]
        );
        assert_eq!(groups[0].peers, ["rnnpack", "ov bf16"]);
        let expected =
            [("1,1,2,3".to_owned(), vec![Some(1.0)]), ("5,1,2,3".to_owned(), vec![Some(1.0), Some(0.5)])];
        assert_eq!(groups[0].shapes, expected);
    }

    #[test]
    fn a_file_without_the_columns_is_refused() {
        for text in
            ["", "# m\n", "a,b\n1,2\n", "op,T,B,I,H,dtype,threads,peer,ratio\nLSTM,1,1,2,3,f32,1,x,fast\n"]
        {
            assert!(Peers::parse(text).is_err() || text == "# m\n", "{text:?}");
        }
        assert!(Peers::parse("# m\n").is_err());
    }
}
