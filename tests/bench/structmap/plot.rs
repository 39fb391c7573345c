//! Cost of each way, and goroutines over time under load, as one picture.

use std::path::Path;

use plotters::coord::Shift;
use plotters::prelude::*;

use crate::Figures;
use crate::machine::thousands;

const SIZE: (u32, u32) = (860, 640);
/// The upper part is for what one conversion costs.
const UPPER: u32 = 250;
/// Room to the right, where names are.
const NAMES: u32 = 110;
/// Seen on white and on black alike.
const INK: RGBColor = RGBColor(125, 125, 125);
const FAINT: RGBAColor = RGBAColor(125, 125, 125, 0.25);
const COLORS: [RGBColor; 5] = [
    RGBColor(214, 113, 20),
    RGBColor(200, 60, 70),
    RGBColor(40, 130, 215),
    RGBColor(160, 90, 200),
    RGBColor(40, 150, 90),
];
/// The height of a name.
const LINE: i32 = 18;

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// Writes the picture, without background.
pub(crate) fn draw(file: &Path, figures: &[Figures], rate: u64) {
    let root = SVGBackend::new(file, SIZE).into_drawing_area();
    let (upper, lower) = root.split_vertically(UPPER);
    costs(&upper, figures);
    goroutines(&lower, figures, rate);
    root.present().unwrap();
}

/// A bar for the time of one conversion, with its allocations behind it.
fn costs(area: &Area<'_>, figures: &[Figures]) {
    let longest = figures.iter().map(|f| f.nanoseconds).fold(1.0, f64::max);
    area.draw_text(
        "time of one conversion, and its allocations",
        &text(16, &INK),
        (84, 12),
    )
    .unwrap();
    for (place, (figure, color)) in figures.iter().zip(COLORS).enumerate() {
        let top = 48 + 38 * i32::try_from(place).unwrap();
        let length = (figure.nanoseconds / longest * 480.0) as i32;
        let bar = Rectangle::new(
            [(100, top), (100 + length.max(1), top + 22)],
            color.filled(),
        );
        area.draw(&bar).unwrap();
        area.draw_text(figure.way, &text(15, &INK), (16, top + 3))
            .unwrap();
        let words = format!(
            "{:.1} µs, {} allocations",
            figure.nanoseconds / 1e3,
            figure.allocations
        );
        area.draw_text(&words, &text(15, &INK), (108 + length, top + 3))
            .unwrap();
    }
}

/// A curve for all goroutines that the exporter saw.
fn goroutines(area: &Area<'_>, figures: &[Figures], rate: u64) {
    let points = || figures.iter().flat_map(|figure| &figure.goroutines);
    let longest = points().map(|point| point.0).fold(1.0, f64::max);
    let most = points().map(|point| point.1).fold(10.0, f64::max);
    let mut chart = ChartBuilder::on(area)
        .margin(16)
        .margin_right(NAMES)
        .x_label_area_size(52)
        .y_label_area_size(84)
        .build_cartesian_2d(0.0..longest, (1.0..most * 1.5).log_scale())
        .unwrap();
    chart
        .configure_mesh()
        .x_desc(format!(
            "seconds with {} conversions a second to do",
            thousands(rate)
        ))
        .y_desc("goroutines, as the exporter sees them")
        .y_label_formatter(&|count| thousands(count.round() as u64))
        .axis_style(INK)
        .bold_line_style(FAINT)
        .light_line_style(TRANSPARENT)
        .label_style(text(15, &INK))
        .axis_desc_style(text(16, &INK))
        .draw()
        .unwrap();
    let mut names = Vec::new();
    for (figure, color) in figures.iter().zip(COLORS) {
        let curve = figure.goroutines.iter().copied();
        let line = LineSeries::new(curve, color.stroke_width(2));
        chart.draw_series(line).unwrap();
        let end = figure.goroutines.last().unwrap();
        let (column, row) = chart.backend_coord(end);
        names.push((row, column, figure.way, color));
    }
    // Where two curves end at nearly the same height, one name makes room for the other. Positions are those of the whole
    // picture.
    names.sort_by_key(|(row, ..)| *row);
    let above = i32::try_from(UPPER).unwrap();
    let mut free = 0;
    for (row, column, way, color) in names {
        let top = free.max(row - above - LINE / 2);
        free = top + LINE;
        area.draw_text(way, &text(15, &color), (column + 10, top))
            .unwrap();
    }
}

fn text(size: i32, color: &RGBColor) -> TextStyle<'_> {
    TextStyle::from(("sans-serif", size).into_font()).color(color)
}
