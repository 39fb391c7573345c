//! CPU time over size, as a picture.

use std::path::Path;

use plotters::prelude::*;

use crate::machine::thousands;
use crate::work::{Encoding, Reader};

/// One reader's way through the sizes.
#[derive(Debug)]
pub(crate) struct Curve {
    pub(crate) encoding: Encoding,
    pub(crate) reader: Reader,
    /// Goroutines, and milliseconds of CPU time.
    pub(crate) points: Vec<(usize, f64)>,
}

const SIZE: (u32, u32) = (860, 520);
/// Room to the right of the curves, where their names are.
const NAMES: u32 = 190;
/// Seen on white and on black alike.
const INK: RGBColor = RGBColor(125, 125, 125);
const FAINT: RGBAColor = RGBAColor(125, 125, 125, 0.25);
/// The height of a name.
const LINE: i32 = 18;

impl Curve {
    fn name(&self) -> String {
        let encoding = match self.encoding {
            Encoding::Protobuf => "protobuf",
            Encoding::Debug1 => "debug=1",
            Encoding::Debug2 => "debug=2",
        };
        format!("{encoding}, {}", self.reader.name())
    }

    /// Text in blue, protobuf in orange; ours strong.
    fn color(&self) -> RGBColor {
        match (self.encoding, self.reader) {
            (Encoding::Protobuf, _) => RGBColor(214, 113, 20),
            (_, Reader::Panicparse) => RGBColor(160, 90, 200),
            _ => RGBColor(40, 130, 215),
        }
    }

    fn width(&self) -> u32 {
        if self.reader == Reader::Ours { 4 } else { 2 }
    }
}

/// Writes the picture: both axes logarithmic, no background, each curve named at its end.
pub(crate) fn draw(file: &Path, curves: &[Curve]) {
    let points = || curves.iter().flat_map(|curve| &curve.points);
    let least = points().map(|point| point.1).fold(f64::MAX, f64::min);
    let most = points().map(|point| point.1).fold(0.0, f64::max);
    let widest = points().map(|point| point.0).max().unwrap_or_default();
    let (from, to) = (least.log10().floor(), most.log10().ceil());
    let root = SVGBackend::new(file, SIZE).into_drawing_area();
    let mut chart = ChartBuilder::on(&root)
        .margin(16)
        .margin_right(NAMES)
        .x_label_area_size(52)
        .y_label_area_size(84)
        .build_cartesian_2d(
            (100.0..widest as f64).log_scale(),
            (10_f64.powf(from)..10_f64.powf(to)).log_scale(),
        )
        .unwrap();
    chart
        .configure_mesh()
        .x_desc("goroutines in the dump")
        .y_desc("CPU time of one reading")
        .x_label_formatter(&|size| thousands(size.round() as u64))
        .y_label_formatter(&|milliseconds| label(*milliseconds))
        .axis_style(INK)
        .bold_line_style(FAINT)
        .light_line_style(TRANSPARENT)
        .label_style(text(15, &INK))
        .axis_desc_style(text(16, &INK))
        .draw()
        .unwrap();
    let mut names = Vec::new();
    for curve in curves {
        let points = curve.points.iter().map(|&(size, time)| (size as f64, time));
        let style = curve.color().stroke_width(curve.width());
        let line = LineSeries::new(points.clone(), style);
        chart.draw_series(line).unwrap();
        let dots = points
            .clone()
            .map(|at| Circle::new(at, 3, curve.color().filled()));
        chart.draw_series(dots).unwrap();
        let (column, row) = chart.backend_coord(&points.clone().next_back().unwrap());
        names.push((row, column, curve));
    }
    // Where two curves end at nearly the same height, one name makes room for the other.
    names.sort_by_key(|(row, ..)| *row);
    let mut free = 0;
    for (row, column, curve) in names {
        let top = free.max(row - LINE / 2);
        free = top + LINE;
        // Not into the chart, which would cut them off.
        root.draw_text(&curve.name(), &text(15, &curve.color()), (column + 10, top))
            .unwrap();
    }
    root.present().unwrap();
}

fn text(size: i32, color: &RGBColor) -> TextStyle<'_> {
    TextStyle::from(("sans-serif", size).into_font()).color(color)
}

/// A power of ten of milliseconds.
fn label(milliseconds: f64) -> String {
    match milliseconds {
        _ if milliseconds < 0.9 => format!("{:.0} µs", milliseconds * 1e3),
        _ if milliseconds < 900.0 => format!("{milliseconds:.0} ms"),
        _ => format!("{:.0} s", milliseconds / 1e3),
    }
}
