//! The picture: CPU time and memory over the number of targets, in colours that stand out from white and from black.

use std::path::Path;

use plotters::coord::Shift;
use plotters::prelude::*;

use crate::load::Row;
use crate::report::MET_EVERY;

const SIZE: (u32, u32) = (860, 340);
const MIB: f64 = 1024.0 * 1024.0;
/// Contrast of 4 or more to white (#ffffff) and to the dark pages of code hosts (#0d1117).
const INK: RGBColor = RGBColor(118, 126, 138);
const FAINT: RGBAColor = RGBAColor(118, 126, 138, 0.3);
const BLUE: RGBColor = RGBColor(47, 129, 247);
const ORANGE: RGBColor = RGBColor(209, 104, 4);

/// One panel.
struct Panel<'a> {
    title: &'a str,
    colour: RGBColor,
    /// Of what is drawn: targets, and how much.
    points: Vec<(f64, f64)>,
}

/// Draws it into a file.
pub(crate) fn draw(rows: &[Row], file: &Path) {
    let points = |of: fn(&Row) -> f64| -> Vec<(f64, f64)> {
        rows.iter()
            .map(|row| (row.targets as f64, of(row)))
            .collect()
    };
    let panels = [
        Panel {
            title: "CPU, % of one core",
            colour: BLUE,
            points: points(|row| row.share_with_details(MET_EVERY) * 100.0),
        },
        Panel {
            title: "resident memory, MiB",
            colour: ORANGE,
            points: points(|row| row.held.resident as f64 / MIB),
        },
    ];
    let root = SVGBackend::new(file, SIZE).into_drawing_area();
    for (area, panel) in root.split_evenly((1, 2)).iter().zip(&panels) {
        panel.draw(area);
    }
    root.present().unwrap();
}

impl Panel<'_> {
    fn draw(&self, area: &DrawingArea<SVGBackend<'_>, Shift>) {
        let most = |of: fn(&(f64, f64)) -> f64| self.points.iter().map(of).fold(0.0, f64::max);
        let (right, top) = (most(|point| point.0) * 1.05, most(|point| point.1) * 1.15);
        let font = |size: i32| ("sans-serif", size).into_font().color(&INK);
        let mut chart = ChartBuilder::on(area)
            .caption(self.title, font(18))
            .margin(12)
            .margin_right(24)
            .x_label_area_size(44)
            .y_label_area_size(48)
            .build_cartesian_2d(0.0..right, 0.0..top)
            .unwrap();
        chart
            .configure_mesh()
            .axis_style(INK)
            .bold_line_style(FAINT)
            .light_line_style(TRANSPARENT)
            .label_style(font(14))
            .x_desc("targets, each probed every 15 seconds")
            .x_labels(6)
            .y_labels(6)
            .x_label_formatter(&|x| format!("{x:.0}"))
            .y_label_formatter(&|y| format!("{y:.0}"))
            .draw()
            .unwrap();
        let line = LineSeries::new(self.points.clone(), self.colour.stroke_width(3));
        chart.draw_series(line).unwrap();
        let points = self.points.iter();
        let dots = points.map(|point| Circle::new(*point, 5, self.colour.filled()));
        chart.draw_series(dots).unwrap();
    }
}
