//! Graphs as SVG.

use plotters::chart::{ChartBuilder, ChartContext};
use plotters::coord::cartesian::Cartesian2d;
use plotters::coord::ranged1d::{Ranged, ValueFormatter};
use plotters::coord::types::RangedCoordf64;
use plotters::drawing::{DrawingAreaErrorKind, IntoDrawingArea as _};
use plotters::element::{Circle, PathElement, Text};
use plotters::prelude::{IntoLogRange as _, SVGBackend};
use plotters::series::LineSeries;
use plotters::style::{Color as _, RGBColor, WHITE};

/// Width and height, in points.
const SIZE: (u32, u32) = (760, 440);

/// Where the title and the legend stand above the axes, in points: a row has so many names.
const TITLE_HEIGHT: u32 = 44;
const TEXT_LEFT: i32 = 24;
const LEGEND_ROW: u32 = 20;
const LEGEND_COLUMN: i32 = 360;
const LEGEND_COLUMNS: usize = 2;

/// From here on between the least and the most, an axis of times has powers of ten.
const LOGARITHMIC_FROM: f64 = 60.0;

/// Colours that people who see few colours tell apart (Okabe and Ito), the first of them dark enough for lines.
const COLOURS: [RGBColor; 8] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(86, 180, 233),
    RGBColor(230, 159, 0),
    RGBColor(90, 90, 90),
    RGBColor(0, 0, 0),
];

/// Points of one kind.
#[derive(Clone, Debug)]
pub struct Series {
    /// What the legend calls them; empty: there is no legend.
    pub name: String,
    /// Where they are.
    pub points: Vec<(f64, f64)>,
}

/// A graph.
#[derive(Clone, Debug)]
pub struct Graph {
    /// Above it.
    pub title: String,
    /// What goes to the right, with its unit.
    pub x: String,
    /// What goes up, with its unit.
    pub y: String,
    /// What is drawn.
    pub series: Vec<Series>,
}

type Failure = DrawingAreaErrorKind<std::io::Error>;

impl Graph {
    /// As SVG; none if there is nothing to draw.
    pub fn svg(&self) -> Option<String> {
        let drawn: Vec<&Series> = self.series.iter().filter(|series| !series.points.is_empty()).collect();
        let points = || drawn.iter().flat_map(|series| &series.points);
        let most = |of: fn(&(f64, f64)) -> f64| points().map(of).fold(0.0_f64, f64::max);
        let (right, top) = (most(|point| point.0), most(|point| point.1));
        if drawn.is_empty() || !right.is_finite() || !top.is_finite() {
            return None;
        }
        let least = points().map(|point| point.1).fold(f64::INFINITY, f64::min);
        let left = points().map(|point| point.0).fold(f64::INFINITY, f64::min).min(0.0);
        let (across, top) =
            (left..if right > left { right * 1.03 } else { left + 1.0 }, if top > 0.0 { top } else { 1.0 });
        let mut svg = String::new();
        let drawing = match least > 0.0 && top / least >= LOGARITHMIC_FROM {
            true => {
                let up = 10f64.powf(least.log10().floor())..10f64.powf(top.log10().ceil());
                self.draw(&mut svg, &drawn, |chart| chart.build_cartesian_2d(across, up.log_scale()))
            }
            false => {
                let up = least.min(0.0) * 1.08..top * 1.08;
                self.draw(&mut svg, &drawn, |chart| chart.build_cartesian_2d(across, up))
            }
        };
        drawing.expect("a text takes any drawing");
        Some(svg)
    }

    fn draw<Y>(
        &self,
        svg: &mut String,
        drawn: &[&Series],
        build: impl for<'s> FnOnce(
            &mut ChartBuilder<'_, 's, SVGBackend<'s>>,
        )
            -> Result<ChartContext<'s, SVGBackend<'s>, Cartesian2d<RangedCoordf64, Y>>, Failure>,
    ) -> Result<(), Failure>
    where
        Y: Ranged<ValueType = f64> + ValueFormatter<f64>,
    {
        let legend: Vec<&str> =
            drawn.iter().map(|series| series.name.as_str()).filter(|name| !name.is_empty()).collect();
        let legend_height = legend.len().div_ceil(LEGEND_COLUMNS) as u32 * LEGEND_ROW;
        let root = SVGBackend::with_string(svg, (SIZE.0, SIZE.1 + legend_height)).into_drawing_area();
        root.fill(&WHITE)?;
        let (head, body) = root.split_vertically(TITLE_HEIGHT + legend_height);
        head.draw(&Text::new(self.title.clone(), (TEXT_LEFT, 14), ("sans-serif", 18)))?;
        for (at, (name, colour)) in legend.iter().zip(COLOURS.iter().cycle()).enumerate() {
            let x = TEXT_LEFT + (at % LEGEND_COLUMNS) as i32 * LEGEND_COLUMN;
            let y = (TITLE_HEIGHT + (at / LEGEND_COLUMNS) as u32 * LEGEND_ROW) as i32;
            head.draw(&PathElement::new([(x, y + 7), (x + 20, y + 7)], colour.stroke_width(3)))?;
            head.draw(&Text::new((*name).to_owned(), (x + 26, y), ("sans-serif", 13)))?;
        }
        let mut builder = ChartBuilder::on(&body);
        builder.margin(12).margin_right(24);
        builder.x_label_area_size(46).y_label_area_size(72);
        let mut chart = build(&mut builder)?;
        let mut mesh = chart.configure_mesh();
        mesh.x_desc(&self.x).y_desc(&self.y).x_labels(10).y_labels(8).light_line_style(WHITE.mix(0.0));
        mesh.label_style(("sans-serif", 13)).axis_desc_style(("sans-serif", 14));
        mesh.x_label_formatter(&|number| short(*number)).y_label_formatter(&|number| short(*number)).draw()?;
        for (series, colour) in drawn.iter().zip(COLOURS.iter().cycle()) {
            chart.draw_series(LineSeries::new(series.points.iter().copied(), colour.stroke_width(2)))?;
            // So many dots would be a thick line.
            if series.points.len() <= 60 {
                chart.draw_series(series.points.iter().map(|point| Circle::new(*point, 3, colour.filled())))?;
            }
        }
        drop(chart);
        root.present()
    }
}

/// A number on an axis: as many digits as it needs.
fn short(number: f64) -> String {
    let digits = match number.abs() {
        size if size >= 10.0 || number == 0.0 => 0,
        size if size >= 1.0 => 1,
        size if size >= 0.1 => 2,
        _ => 4,
    };
    let text = format!("{number:.digits$}");
    if digits == 0 { text } else { text.trim_end_matches('0').trim_end_matches('.').to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn graph(points: Vec<(f64, f64)>) -> Graph {
        let series = vec![Series { name: "a < b".into(), points }];
        Graph { title: "t & u".into(), x: "size, MB".into(), y: "ms".into(), series }
    }

    #[test]
    fn a_graph_is_drawn_with_its_titles_escaped() {
        for points in [vec![(1.0, 2.0), (3.0, 4.0)], vec![(1.0, 0.01), (3.0, 4000.0)], vec![(0.0, 0.0)]] {
            let svg = graph(points).svg().unwrap();
            assert!(svg.starts_with("<svg") && svg.contains("t &amp; u") && svg.contains("size, MB"), "{svg}");
        }
    }

    #[test]
    fn nothing_and_what_is_no_number_is_not_drawn() {
        assert!(graph(Vec::new()).svg().is_none());
        assert!(graph(vec![(1.0, f64::INFINITY)]).svg().is_none());
    }

    #[test]
    fn numbers_on_axes_are_short() {
        let shown = [(0.0, "0"), (20.0, "20"), (2.5, "2.5"), (2.0, "2"), (0.25, "0.25"), (0.001, "0.001")];
        shown.into_iter().for_each(|(number, text)| assert_eq!(short(number), text));
    }
}
