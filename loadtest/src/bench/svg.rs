//! A small hand for SVG: bars and lines with words on them, in the reader's own colours, light or dark.

use std::fmt::Write;

/// Of each picture.
pub const WIDTH: f64 = 820.0;

/// Told apart on white and on black, also by those who see red and green alike.
const STYLE: &str = "text{font:13px system-ui,sans-serif;fill:currentColor}\
    .t{font-weight:600;font-size:15px}.e{text-anchor:end}.m{text-anchor:middle}\
    svg{color:#1f2328}.g{stroke:currentColor;opacity:.15}.l{fill:none;stroke-width:2}\
    @media (prefers-color-scheme:dark){svg{color:#e6edf3}}";
const COLOURS: [&str; 10] = [
    "#4e79a7", "#e8871e", "#3a9a8f", "#c44e9b", "#8f7ee0", "#b8860b", "#4aa02c", "#d1495b", "#7f8c8d",
    "#00a0d6",
];

/// A colour of its own for each number.
pub fn colour(at: usize) -> &'static str {
    COLOURS[at % COLOURS.len()]
}

/// A picture being drawn.
pub struct Svg {
    body: String,
    height: f64,
}

impl Svg {
    /// An empty one with a title.
    pub fn new(title: &str, height: f64) -> Svg {
        let mut svg = Svg { body: String::new(), height };
        svg.text(16.0, 26.0, "t", title);
        svg
    }

    /// Words.
    pub fn text(&mut self, x: f64, y: f64, class: &str, words: &str) {
        let words = words.replace('&', "&amp;").replace('<', "&lt;");
        let _ = writeln!(self.body, "<text x=\"{x:.1}\" y=\"{y:.1}\" class=\"{class}\">{words}</text>");
    }

    /// A bar.
    pub fn bar(&mut self, x: f64, y: f64, width: f64, height: f64, colour: &str) {
        let _ = writeln!(
            self.body,
            "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" fill=\"{colour}\"/>"
        );
    }

    /// A line of the grid.
    pub fn rule(&mut self, from: (f64, f64), to: (f64, f64)) {
        let ((x1, y1), (x2, y2)) = (from, to);
        let _ = writeln!(
            self.body,
            "<line x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\" class=\"g\"/>"
        );
    }

    /// A line through points, with a dot on each.
    pub fn line(&mut self, points: &[(f64, f64)], colour: &str) {
        let path: Vec<String> = points.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        let _ =
            writeln!(self.body, "<polyline points=\"{}\" class=\"l\" stroke=\"{colour}\"/>", path.join(" "));
        for (x, y) in points {
            let _ = writeln!(self.body, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3.5\" fill=\"{colour}\"/>");
        }
    }

    /// The file.
    pub fn finish(self) -> String {
        let (body, height) = (self.body, self.height);
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH:.0} {height:.0}\" role=\"img\">\n\
             <style>{STYLE}</style>\n{body}</svg>\n"
        )
    }
}
