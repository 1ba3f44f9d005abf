//! The plots as SVG. Their colours are placeholders for roles; the page's style defines them for light and dark mode.

use super::escape;
use super::history::{History, Run};
use super::peers::Group;
use anyhow::{Result, anyhow};
use plotters::coord::Shift;
use plotters::prelude::*;

/// The text and the axes, then the lines of the grid.
const INK: RGBColor = RGBColor(1, 1, 1);
const GRID: RGBColor = RGBColor(2, 2, 2);
/// The series. The first is rnnpack's.
const SERIES: [RGBColor; 6] = [
    RGBColor(11, 11, 11),
    RGBColor(12, 12, 12),
    RGBColor(13, 13, 13),
    RGBColor(14, 14, 14),
    RGBColor(15, 15, 15),
    RGBColor(16, 16, 16),
];
const FONT: &str = "sans-serif";

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// A plot of this size, drawn by `draw`.
fn svg(size: (u32, u32), title: &str, draw: impl FnOnce(&Area<'_>) -> Result<()>) -> Result<String> {
    let mut out = String::new();
    {
        let area = SVGBackend::with_string(&mut out, size).into_drawing_area();
        draw(&area)?;
        area.present().map_err(failed)?;
    }
    Ok(out.replacen("<svg ", &format!("<svg role=\"img\" aria-label=\"{}\" ", escape(title)), 1))
}

fn failed<E: std::fmt::Display>(error: E) -> anyhow::Error {
    anyhow!("cannot draw: {error}")
}

fn text(size: i32) -> TextStyle<'static> {
    (FONT, size).into_font().color(&INK)
}

/// The times of a case over the runs.
pub(crate) fn trend(history: &History, name: &str) -> Result<String> {
    let points: Vec<(f64, f64, f64)> =
        history.of(name).map(|(run, m)| (run as f64, m.min_ns / 1e3, m.median_ns / 1e3)).collect();
    let highest = points.iter().map(|p| p.2).fold(0.0, f64::max) * 1.15;
    let last = (history.runs.len() - 1) as f64;
    svg((360, 200), &format!("times of {name}"), |area| {
        let mut chart = ChartBuilder::on(area)
            .caption(name, text(13))
            .margin(6)
            .x_label_area_size(22)
            .y_label_area_size(48)
            .build_cartesian_2d(-0.5..last + 0.5, 0.0..highest)
            .map_err(failed)?;
        let commit = |x: &f64| {
            let run = history.runs.get(x.round() as usize).filter(|_| (x - x.round()).abs() < 1e-6);
            run.map_or(String::new(), |run| run.origin.mark())
        };
        let mut mesh = chart.configure_mesh();
        mesh.disable_x_mesh().light_line_style(TRANSPARENT).bold_line_style(GRID).axis_style(GRID);
        mesh.label_style(text(11)).x_labels(history.runs.len().min(4)).y_labels(4);
        mesh.x_label_formatter(&commit).draw().map_err(failed)?;
        let fastest = points.iter().map(|&(x, min, _)| (x, min));
        let median = points.iter().map(|&(x, _, median)| (x, median));
        chart.draw_series(LineSeries::new(median, SERIES[0].mix(0.5))).map_err(failed)?;
        chart.draw_series(LineSeries::new(fastest.clone(), SERIES[0].stroke_width(2))).map_err(failed)?;
        chart.draw_series(fastest.map(|p| Circle::new(p, 3, SERIES[0].filled()))).map_err(failed)?;
        Ok(())
    })
}

/// The cases of a run, with the machine's limits above them.
pub(crate) fn roofline(run: &Run) -> Result<String> {
    let point =
        |m: &crate::perf::ledger::Measured| Some((m.flops? / m.bytes?, m.flops? / m.min_ns, m.name.clone()));
    // Cases with more than one thread are left out, because the limits are those of one core.
    let points: Vec<(f64, f64, String)> =
        run.cases.iter().filter(|m| m.threads == 1).filter_map(point).collect();
    let Some(peak) = run.peak_flops.filter(|_| !points.is_empty()) else {
        return Ok("<p>The last run has no limits, or no layers.</p>".to_owned());
    };
    let peak = peak / 1e9;
    let over = |f: fn(f64, f64) -> f64, start: f64| points.iter().map(|p| p.0).fold(start, f);
    let (left, right) = (over(f64::min, 0.25) / 2.0, over(f64::max, 32.0) * 5.0);
    let bottom = points.iter().map(|p| p.1).fold(peak / 50.0, f64::min) / 2.0;
    svg((860, 460), "roofline of the last run", |area| {
        let mut chart = ChartBuilder::on(area)
            .margin(10)
            .x_label_area_size(40)
            .y_label_area_size(56)
            .build_cartesian_2d((left..right).log_scale(), (bottom..peak * 2.0).log_scale())
            .map_err(failed)?;
        let mut mesh = chart.configure_mesh();
        mesh.light_line_style(TRANSPARENT).bold_line_style(GRID).axis_style(GRID).label_style(text(13));
        mesh.x_desc("flops a byte").y_desc("GFLOP/s");
        mesh.x_label_formatter(&|x| short(*x)).y_label_formatter(&|y| short(*y)).draw().map_err(failed)?;
        let ceiling = [(left, peak), (right, peak)];
        chart.draw_series(LineSeries::new(ceiling, INK.stroke_width(2))).map_err(failed)?;
        let label = |what: String, at: (f64, f64)| Text::new(what, at, text(12));
        let top = label(format!("multiply-add peak {peak:.0} GFLOP/s"), (left * 1.1, peak * 1.35));
        chart.draw_series([top]).map_err(failed)?;
        for (i, level) in run.bandwidth.iter().enumerate() {
            let bandwidth = level.bytes_per_s / 1e9;
            let (from, to) = (left.max(bottom / bandwidth), peak / bandwidth);
            let colour = SERIES[(i + 1) % SERIES.len()];
            let line = [(from, from * bandwidth), (to, peak)];
            chart.draw_series(LineSeries::new(line, colour.stroke_width(2))).map_err(failed)?;
            // The label is next to the line, slightly above its start.
            let at = from * 1.12_f64.powi(1 + i as i32);
            let what = format!("{} {bandwidth:.0} GB/s", level.level);
            chart.draw_series([label(what, (at, at * bandwidth * 0.8))]).map_err(failed)?;
        }
        let dots = points.iter().map(|(x, y, _)| Circle::new((*x, *y), 5, SERIES[0].mix(0.8).filled()));
        chart.draw_series(dots).map_err(failed)?;
        let labelled = points.iter().take(LABELS);
        let mut labels: Vec<((i32, i32), String)> =
            labelled.map(|(x, y, name)| (chart.backend_coord(&(*x, *y)), layer_of(name))).collect();
        spread(&mut labels);
        for (at, label) in labels {
            area.draw(&Text::new(label, at, text(LABEL))).map_err(failed)?;
        }
        Ok(())
    })
}

/// The most dots that have a label. The time to find a place for each grows with all the others.
const LABELS: usize = 300;

/// The height of the dots' labels, in pixels.
const LABEL: i32 = 11;

/// The short name of a layer's case: `lstm 10,16,256,256`, with the type if it is not f32.
fn layer_of(name: &str) -> String {
    match name.split('/').collect::<Vec<_>>()[..] {
        [_, cell, shape, "f32", _] => format!("{cell} {shape}"),
        [_, cell, shape, dtype, _] => format!("{cell} {shape} {dtype}"),
        _ => name.to_owned(),
    }
}

/// Moves labels from their dots to the right, and down if they would cover another label. In pixels.
fn spread(labels: &mut [((i32, i32), String)]) {
    labels.sort_by_key(|&((_, y), _)| y);
    for i in 0..labels.len() {
        let (before, rest) = labels.split_at_mut(i);
        let ((x, y), text) = &mut rest[0];
        (*x, *y) = (*x + 9, *y - LABEL / 2);
        let width = |text: &str| text.len() as i32 * LABEL / 2;
        let covers = |at: (i32, i32), ((x, y), other): &((i32, i32), String)| {
            at.0 < x + width(other) && *x < at.0 + width(text) && (at.1 - y).abs() < LABEL
        };
        while before.iter().any(|label| covers((*x, *y), label)) {
            *y += 1;
        }
    }
}

fn short(x: f64) -> String {
    if x >= 10.0 { format!("{x:.0}") } else { format!("{x:.2}") }
}

/// Bars for every shape: each peer's time as a multiple of rnnpack's.
pub(crate) fn peers(group: Group) -> Result<String> {
    let Group { title, peers, shapes } = group;
    let rows = peers.len() + 1;
    let height = 70 + (shapes.len() * rows * 9) as u32;
    let widest = shapes.iter().flat_map(|(_, r)| r).flatten().copied().fold(1.0, f64::max) * 1.6;
    let total = (shapes.len() * rows) as f64;
    // From top to bottom: the shapes, and within each shape the peers.
    let top = move |shape: usize, peer: usize| total - (shape * rows + peer) as f64 - 0.5;
    svg((860, height), &format!("peers, {title}"), |area| {
        let mut chart = ChartBuilder::on(area)
            .caption(&title, text(15))
            .margin(10)
            .x_label_area_size(28)
            .y_label_area_size(110)
            .build_cartesian_2d((0.3..widest).log_scale(), 0.0..total)
            .map_err(failed)?;
        let mut mesh = chart.configure_mesh();
        mesh.disable_y_mesh().disable_y_axis().y_labels(0).x_labels(4);
        mesh.light_line_style(TRANSPARENT).bold_line_style(GRID).axis_style(GRID).label_style(text(12));
        mesh.x_label_formatter(&|x| format!("{}×", short(*x))).draw().map_err(failed)?;
        for (i, peer) in peers.iter().enumerate() {
            let colour = SERIES[i % SERIES.len()];
            let bars = shapes.iter().enumerate().filter_map(|(s, (_, ratios))| {
                let ratio = ratios.get(i).copied().flatten()?;
                let y = top(s, i);
                Some(Rectangle::new([(0.3, y), (ratio, y - 0.85)], colour.filled()))
            });
            let drawn = chart.draw_series(bars).map_err(failed)?;
            drawn
                .label(peer)
                .legend(move |(x, y)| Rectangle::new([(x, y - 5), (x + 14, y + 5)], colour.filled()));
        }
        let numbers = shapes.iter().enumerate().flat_map(|(s, (_, ratios))| {
            let number = move |(i, ratio): (usize, &Option<f64>)| {
                let ratio = (*ratio)?;
                Some(Text::new(format!("{ratio:.2}"), (ratio * 1.02, top(s, i) + 0.1), text(10)))
            };
            ratios.iter().enumerate().filter_map(number)
        });
        chart.draw_series(numbers).map_err(failed)?;
        let mut legend = chart.configure_series_labels();
        legend.position(SeriesLabelPosition::LowerRight).label_font(text(12)).border_style(GRID);
        legend.draw().map_err(failed)?;
        // The names of the shapes are next to the axis.
        for (s, (shape, _)) in shapes.iter().enumerate() {
            let (_, y) = chart.backend_coord(&(1.0, top(s, 0)));
            area.draw(&Text::new(shape.clone(), (10, y - 2), text(12))).map_err(failed)?;
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_of_dots_in_one_place_stand_below_each_other() {
        let mut labels: Vec<((i32, i32), String)> =
            (0..5).map(|i| ((100 + i, 50), format!("dot {i}"))).collect();
        labels.push(((500, 50), "far".to_owned()));
        spread(&mut labels);
        let mut near: Vec<i32> = labels.iter().filter(|l| l.1 != "far").map(|l| l.0.1).collect();
        near.sort_unstable();
        assert!(near.windows(2).all(|pair| pair[1] - pair[0] >= LABEL), "{near:?}");
        assert_eq!(labels.iter().find(|l| l.1 == "far").unwrap().0, (509, 50 - LABEL / 2));
    }
}
