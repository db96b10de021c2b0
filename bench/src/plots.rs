//! The pictures of the report, as SVG.

use std::path::Path;

use anyhow::{Result, anyhow};
use plotters::prelude::*;

use crate::page::{contenders, region_rows};
use crate::report::Report;
use crate::throughput::CLIENTS;

/// One bar or point each, in the order of the contenders.
const COLOURS: [RGBColor; 8] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(204, 121, 167),
    RGBColor(0, 158, 115),
    RGBColor(230, 159, 0),
    RGBColor(86, 180, 233),
    RGBColor(120, 120, 120),
    RGBColor(0, 0, 0),
];
const SIZE: (u32, u32) = (760, 380);

/// Draws all pictures into a folder.
///
/// # Errors
/// When a file cannot be written.
pub fn draw(report: &Report, folder: &Path) -> Result<()> {
    by_clients(report, &folder.join("throughput.svg"), "req/s by keep-alive clients", "rps")
        .map_err(|error| anyhow!("drawing throughput.svg: {error}"))?;
    by_clients(report, &folder.join("p99.svg"), "p99 in ms by keep-alive clients", "p99_ms")
        .map_err(|error| anyhow!("drawing p99.svg: {error}"))?;
    cpu(report, &folder.join("cpu.svg")).map_err(|error| anyhow!("drawing cpu.svg: {error}"))?;
    regions(report, &folder.join("regions.svg")).map_err(|error| anyhow!("drawing regions.svg: {error}"))
}

type Drawn = Result<(), Box<dyn std::error::Error>>;

fn by_clients(report: &Report, path: &Path, title: &str, figure: &str) -> Drawn {
    let root = SVGBackend::new(path, SIZE).into_drawing_area();
    root.fill(&WHITE)?;
    let lines: Vec<(String, Vec<(f64, f64)>)> = contenders(report)
        .into_iter()
        .map(|(name, label)| {
            let points = CLIENTS.iter().filter_map(|&clients| {
                #[expect(clippy::cast_precision_loss, reason = "256 at most")]
                let x = clients as f64;
                Some((x, report.of(&name, clients, figure)?.median.max(0.01)))
            });
            (label, points.collect())
        })
        .collect();
    let values = lines.iter().flat_map(|(_, points)| points.iter().map(|(_, value)| *value));
    let (least, most) = values.fold((f64::MAX, 0.0_f64), |(least, most), value| (least.min(value), most.max(value)));
    let mut chart = ChartBuilder::on(&root)
        .caption(title, ("sans-serif", 16))
        .margin(10)
        .x_label_area_size(28)
        .y_label_area_size(60)
        .build_cartesian_2d((1.0..400.0).log_scale(), (least * 0.7..most * 1.5).log_scale())?;
    chart.configure_mesh().x_labels(10).light_line_style(WHITE).draw()?;
    for ((label, points), colour) in lines.into_iter().zip(COLOURS) {
        chart
            .draw_series(LineSeries::new(points, colour.stroke_width(2)).point_size(3))?
            .label(label)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], colour.stroke_width(2)));
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
fn bars(path: &Path, title: &str, unit: &str, log: bool, rows: &[(String, Vec<f64>)]) -> Drawn {
    let height = 60 + 26 * u32::try_from(rows.len())?;
    let root = SVGBackend::new(path, (SIZE.0, height)).into_drawing_area();
    root.fill(&WHITE)?;
    let style = ("sans-serif", 13).into_font();
    root.draw(&Text::new(title.to_owned(), (10, 12), ("sans-serif", 16).into_font()))?;
    let scale = |value: f64| if log { (1.0 + 10.0 * value).log10() } else { value };
    let most = rows.iter().map(|(_, parts)| scale(parts.iter().sum())).fold(f64::MIN_POSITIVE, f64::max);
    let (left, width) = (230, 420.0);
    for (row, (name, parts)) in rows.iter().enumerate() {
        let y = 44 + 26 * i32::try_from(row)?;
        root.draw(&Text::new(name.clone(), (10, y + 2), style.clone()))?;
        let mut done = 0.0;
        let mut x = left;
        for (part, colour) in parts.iter().zip(COLOURS) {
            done += part;
            #[expect(clippy::cast_possible_truncation, reason = "a few hundred pixels")]
            let end = left + (width * scale(done) / most) as i32;
            root.draw(&Rectangle::new([(x, y), (end.max(x + 1), y + 16)], colour.filled()))?;
            x = end;
        }
        let values: Vec<_> = parts.iter().map(|value| crate::page::number(*value)).collect();
        root.draw(&Text::new(format!("{} {unit}", values.join(" + ")), (x + 6, y + 2), style.clone()))?;
    }
    root.present()?;
    Ok(())
}

fn cpu(report: &Report, path: &Path) -> Drawn {
    let rows: Vec<_> = contenders(report)
        .into_iter()
        .filter_map(|(name, label)| {
            let of = |figure| report.of(&name, 16, figure).map(|spread| spread.median);
            Some((label, vec![of("server_cpu_us")?, of("postgres_cpu_us")?]))
        })
        .collect();
    bars(path, "CPU per request at 16 clients: server + Postgres", "us", false, &rows)
}

fn regions(report: &Report, path: &Path) -> Drawn {
    let rows: Vec<_> = region_rows(report).into_iter().map(|(label, [p50, ..])| (label, vec![p50.median])).collect();
    bars(path, "p50 of GET / by region (logarithmic)", "ms", true, &rows)
}
