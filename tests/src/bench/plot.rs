//! The medians as bars, with smallest and largest as whiskers.

use std::fmt::Write as _;

use super::rounds::{Series, Spread};

const WIDTH: f64 = 860.0;
const LABELS: f64 = 270.0;
const BAR: f64 = 18.0;
const COLOURS: [&str; 5] = ["#4269d0", "#efb118", "#ff725c", "#6cc5b0", "#9c6b4e"];

/// One picture: of each table, the CPU time of a request in each part, one upon the other.
pub fn svg(tables: &[(String, Vec<Series>)]) -> String {
    let mut body = String::new();
    let mut y = 10.0;
    for (title, series) in tables {
        let _ = writeln!(
            body,
            "<text x=\"10\" y=\"{:.0}\" font-weight=\"bold\">{}</text>",
            y + 14.0,
            escaped(title)
        );
        y += 24.0;
        let sums: Vec<Spread> =
            series.iter().map(|one| one.spread(super::rounds::Sample::cpu_of_all)).collect();
        let most = sums.iter().map(|sum| sum.max).fold(1.0, f64::max);
        let scale = (WIDTH - LABELS - 90.0) / most;
        for (one, sum) in series.iter().zip(&sums) {
            let _ = writeln!(
                body,
                "<text x=\"{:.0}\" y=\"{:.0}\" text-anchor=\"end\">{}</text>",
                LABELS - 8.0,
                y + BAR - 5.0,
                escaped(&one.name)
            );
            let mut x = LABELS;
            for part in 0..one.parts.len() {
                let wide = one.spread(|sample| sample.cpu(part)).median * scale;
                let _ = writeln!(
                    body,
                    "<rect x=\"{x:.1}\" y=\"{y:.0}\" width=\"{wide:.1}\" height=\"{:.0}\" fill=\"{}\"><title>{}</title></rect>",
                    BAR - 3.0,
                    COLOURS[part % COLOURS.len()],
                    escaped(&one.parts[part])
                );
                x += wide;
            }
            let middle = y + (BAR - 3.0) / 2.0;
            let _ = writeln!(
                body,
                "<line x1=\"{:.1}\" x2=\"{:.1}\" y1=\"{middle:.1}\" y2=\"{middle:.1}\" stroke=\"#444\"/>\n\
                 <text x=\"{:.1}\" y=\"{:.0}\">{:.0} µs</text>",
                LABELS + sum.min * scale,
                LABELS + sum.max * scale,
                LABELS + sum.max * scale + 6.0,
                y + BAR - 5.0,
                sum.median
            );
            y += BAR;
        }
        let names: Vec<&String> = series
            .iter()
            .max_by_key(|one| one.parts.len())
            .map_or(Vec::new(), |one| one.parts.iter().collect());
        let mut x = LABELS;
        for (part, name) in names.iter().enumerate() {
            let _ = writeln!(
                body,
                "<rect x=\"{x:.0}\" y=\"{:.0}\" width=\"9\" height=\"9\" fill=\"{}\"/><text x=\"{:.0}\" y=\"{:.0}\">{}</text>",
                y + 4.0,
                COLOURS[part % COLOURS.len()],
                x + 13.0,
                y + 13.0,
                escaped(name)
            );
            x += 30.0 + 7.0 * name.len() as f64;
        }
        y += 36.0;
    }
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {y:.0}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"{WIDTH}\" height=\"{y:.0}\" fill=\"white\"/>\n{body}</svg>\n"
    )
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}
