//! The pictures of the report, as SVG.

use std::path::Path;

use anyhow::{Context, Result};
use plotters::prelude::*;

use crate::contender::CONTENDERS;
use crate::figures::{median, number};
use crate::report::{At, Report, Row};

/// A file, what it shows, and of which figures.
pub(crate) type Plot = (&'static str, &'static str, Shape);

#[derive(Clone, Copy)]
pub(crate) enum Shape {
    /// A line for each contender, of this figure by the number of clients; both logarithmic.
    Lines(&'static str),
    /// A bar for each row.
    Bars(Bars),
}

/// Of which rows, what each is called, of which figures it is the sum, their unit, and whether it is logarithmic.
type Bars = (At<'static>, &'static str, &'static [&'static str], &'static str, bool);

const CPU: Bars = (["throughput", "*", "16"], "{contender}", &["server_cpu_us", "postgres_cpu_us"], "us", false);
const P50: Bars = (["regions", "*", "*"], "{contender}, {case}", &["p50_ms"], "ms", true);

/// All pictures; the first and the last are in the README as well.
pub(crate) const PLOTS: [Plot; 4] = [
    ("throughput", "req/s by keep-alive clients", Shape::Lines("rps")),
    ("p99", "p99 in ms by keep-alive clients", Shape::Lines("p99_ms")),
    ("cpu", "CPU per request at 16 clients: server + Postgres", Shape::Bars(CPU)),
    ("regions", "p50 of GET / by region (logarithmic)", Shape::Bars(P50)),
];

/// Of the parts of a bar.
const COLOURS: [RGBColor; 2] = [RGBColor(0, 114, 178), RGBColor(213, 94, 0)];
const SIZE: (u32, u32) = (760, 380);

/// Draws all pictures into a folder.
pub(crate) fn draw(report: &Report, folder: &Path) -> Result<()> {
    for (name, title, shape) in PLOTS {
        let path = folder.join(format!("{name}.svg"));
        match shape {
            Shape::Lines(figure) => lines(report, &path, title, figure),
            Shape::Bars(of) => bars(report, &path, title, of),
        }
        .with_context(|| format!("drawing {name}.svg"))?;
    }
    Ok(())
}

fn lines(report: &Report, path: &Path, title: &str, figure: &str) -> Result<()> {
    let root = SVGBackend::new(path, SIZE).into_drawing_area();
    root.fill(&WHITE)?;
    let points = |name| -> Vec<(f64, f64)> {
        let rows = report.measured.rows(["throughput", name, "*"]);
        rows.filter_map(|row| Some((row.at[2].parse().ok()?, median(row.figures.get(figure)?).max(0.01)))).collect()
    };
    let lines = CONTENDERS.iter().map(|contender| (contender, points(contender.name)));
    let lines: Vec<_> = lines.filter(|(_, points)| !points.is_empty()).collect();
    let values = lines.iter().flat_map(|(_, points)| points).map(|(_, value)| *value);
    let (least, most) = values.fold((f64::MAX, 0.0_f64), |(least, most), value| (least.min(value), most.max(value)));
    let mut chart = ChartBuilder::on(&root)
        .caption(title, ("sans-serif", 16))
        .margin(10)
        .x_label_area_size(28)
        .y_label_area_size(60)
        .build_cartesian_2d((1.0..400.0).log_scale(), (least * 0.7..most * 1.5).log_scale())?;
    chart.configure_mesh().x_labels(10).light_line_style(WHITE).draw()?;
    for (contender, points) in lines {
        let (red, green, blue) = contender.colour;
        let line = RGBColor(red, green, blue).stroke_width(2);
        chart
            .draw_series(LineSeries::new(points, line).point_size(3))?
            .label(contender.name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], line));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::LowerRight)
        .background_style(WHITE.mix(0.8))
        .border_style(BLACK.mix(0.3))
        .draw()?;
    root.present()?;
    Ok(())
}

/// Bars with their names and values beside them.
fn bars(report: &Report, path: &Path, title: &str, (at, name, figures, unit, log): Bars) -> Result<()> {
    let of =
        |row: &Row| figures.iter().map(|figure| Some(median(row.figures.get(*figure)?))).collect::<Option<Vec<_>>>();
    let rows: Vec<_> = report.measured.rows(at).filter_map(|row| Some((row.label(name), of(row)?))).collect();
    let height = 60 + 26 * u32::try_from(rows.len())?;
    let root = SVGBackend::new(path, (SIZE.0, height)).into_drawing_area();
    root.fill(&WHITE)?;
    let style = ("sans-serif", 13).into_font();
    root.draw(&Text::new(title, (10, 12), ("sans-serif", 16).into_font()))?;
    let scale = |value: f64| if log { (1.0 + 10.0 * value).log10() } else { value };
    let most = rows.iter().map(|(_, parts)| scale(parts.iter().sum())).fold(f64::MIN_POSITIVE, f64::max);
    let (left, width) = (270, 380.0);
    for (row, (name, parts)) in rows.iter().enumerate() {
        let y = 44 + 26 * i32::try_from(row)?;
        root.draw(&Text::new(name.as_str(), (10, y + 2), style.clone()))?;
        let (mut done, mut x) = (0.0, left);
        for (part, colour) in parts.iter().zip(COLOURS) {
            done += part;
            #[expect(clippy::cast_possible_truncation, reason = "a few hundred pixels")]
            let end = left + (width * scale(done) / most) as i32;
            root.draw(&Rectangle::new([(x, y), (end.max(x + 1), y + 16)], colour.filled()))?;
            x = end;
        }
        let values: Vec<_> = parts.iter().map(|value| number(*value)).collect();
        root.draw(&Text::new(format!("{} {unit}", values.join(" + ")), (x + 6, y + 2), style.clone()))?;
    }
    root.present()?;
    Ok(())
}
