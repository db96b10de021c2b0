//! The pictures of the report, as SVG.

use std::path::Path;

use anyhow::{Result, anyhow};
use plotters::prelude::*;

use crate::contender::CONTENDERS;
use crate::figures::{Summary, number};
use crate::report::Report;
use crate::throughput::CLIENTS;

/// Of the parts of a bar.
const COLOURS: [RGBColor; 2] = [RGBColor(0, 114, 178), RGBColor(213, 94, 0)];
const SIZE: (u32, u32) = (760, 380);

/// The file, and what it shows; the first and the last are in the README as well.
pub(crate) const PLOTS: [(&str, &str); 4] = [
    ("throughput", "req/s by keep-alive clients"),
    ("p99", "p99 in ms by keep-alive clients"),
    ("cpu", "CPU per request at 16 clients: server + Postgres"),
    ("regions", "p50 of GET / by region (logarithmic)"),
];

/// Draws all pictures into a folder.
pub(crate) fn draw(report: &Report, folder: &Path) -> Result<()> {
    for (name, title) in PLOTS {
        let path = folder.join(format!("{name}.svg"));
        let drawn = match name {
            "throughput" => by_clients(report, &path, title, "rps"),
            "p99" => by_clients(report, &path, title, "p99_ms"),
            "cpu" => bars(&path, title, "us", false, &cpu(report)),
            _ => bars(&path, title, "ms", true, &regions(report)),
        };
        drawn.map_err(|error| anyhow!("drawing {name}.svg: {error}"))?;
    }
    Ok(())
}

type Drawn = Result<(), Box<dyn std::error::Error>>;
type Bars = Vec<(String, Vec<f64>)>;

#[expect(clippy::cast_precision_loss, reason = "256 at most")]
fn by_clients(report: &Report, path: &Path, title: &str, figure: &str) -> Drawn {
    let root = SVGBackend::new(path, SIZE).into_drawing_area();
    root.fill(&WHITE)?;
    let points = |key| -> Vec<(f64, f64)> {
        let of = |clients| Some((clients as f64, report.of(key, clients, figure)?.median().max(0.01)));
        CLIENTS.into_iter().filter_map(of).collect()
    };
    let values = CONTENDERS.iter().flat_map(|contender| points(contender.key)).map(|(_, value)| value);
    let (least, most) = values.fold((f64::MAX, 0.0_f64), |(least, most), value| (least.min(value), most.max(value)));
    let mut chart = ChartBuilder::on(&root)
        .caption(title, ("sans-serif", 16))
        .margin(10)
        .x_label_area_size(28)
        .y_label_area_size(60)
        .build_cartesian_2d((1.0..400.0).log_scale(), (least * 0.7..most * 1.5).log_scale())?;
    chart.configure_mesh().x_labels(10).light_line_style(WHITE).draw()?;
    for contender in CONTENDERS.iter().filter(|contender| report.throughput.contains_key(contender.key)) {
        let (red, green, blue) = contender.colour;
        let line = RGBColor(red, green, blue).stroke_width(2);
        chart
            .draw_series(LineSeries::new(points(contender.key), line).point_size(3))?
            .label(contender.label)
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
fn bars(path: &Path, title: &str, unit: &str, log: bool, rows: &Bars) -> Drawn {
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

fn cpu(report: &Report) -> Bars {
    let of = |key: &str, figure| report.of(key, 16, figure).map(Summary::median);
    let parts = |key| Some(vec![of(key, "server_cpu_us")?, of(key, "postgres_cpu_us")?]);
    CONTENDERS.iter().filter_map(|contender| Some((contender.label.to_owned(), parts(contender.key)?))).collect()
}

fn regions(report: &Report) -> Bars {
    report.region_rows().map(|(label, of)| (label, vec![of["p50_ms"].median()])).collect()
}
