//! The text format of Prometheus, version 0.0.4.

use std::fmt::{Display, Write as _};

use switchboard_metrics::{Histogram, HistogramSnapshot};

/// Metrics as text, one family after the other. A name ends in its unit, and in `_total` if it counts.
#[derive(Debug, Default)]
pub(crate) struct Exposition(String);

impl Exposition {
    /// What only grows.
    pub(crate) fn counter(&mut self, name: &str, help: &str, value: u64) {
        self.head(name, help, "counter");
        self.sample(name, None, value);
    }

    /// The same for each value of one label.
    pub(crate) fn counters<'a, L: AsRef<str>>(
        &mut self,
        name: &str,
        help: &str,
        label: &str,
        values: impl IntoIterator<Item = (L, &'a u64)>,
    ) {
        self.head(name, help, "counter");
        for (of, value) in values {
            self.sample(name, Some((label, of.as_ref())), value);
        }
    }

    /// What goes up and down.
    pub(crate) fn gauge(&mut self, name: &str, help: &str, value: impl Display) {
        self.head(name, help, "gauge");
        self.sample(name, None, value);
    }

    /// The same for each value of one label.
    pub(crate) fn gauges<L: AsRef<str>, V: Display>(
        &mut self,
        name: &str,
        help: &str,
        label: &str,
        values: impl IntoIterator<Item = (L, V)>,
    ) {
        self.head(name, help, "gauge");
        for (of, value) in values {
            self.sample(name, Some((label, of.as_ref())), value);
        }
    }

    /// How long something took, in seconds.
    pub(crate) fn histogram(&mut self, name: &str, help: &str, snapshot: &HistogramSnapshot) {
        self.head(name, help, "histogram");
        let bucket = format!("{name}_bucket");
        for (bound, at_most) in Histogram::BOUNDS.iter().zip(snapshot.at_most) {
            let bound = bound.as_secs_f64().to_string();
            self.sample(&bucket, Some(("le", &bound)), at_most);
        }
        self.sample(&bucket, Some(("le", "+Inf")), snapshot.count);
        let sum = snapshot.sum.as_secs_f64();
        self.sample(&format!("{name}_sum"), None, sum);
        self.sample(&format!("{name}_count"), None, snapshot.count);
    }

    pub(crate) fn into_text(self) -> String {
        self.0
    }

    fn head(&mut self, name: &str, help: &str, kind: &str) {
        self.line(format_args!("# HELP {name} {help}"));
        self.line(format_args!("# TYPE {name} {kind}"));
    }

    fn sample(&mut self, name: &str, label: Option<(&str, &str)>, value: impl Display) {
        match label {
            None => self.line(format_args!("{name} {value}")),
            Some((label, of)) => {
                self.line(format_args!(
                    "{name}{{{label}=\"{}\"}} {value}",
                    escaped(of)
                ));
            }
        }
    }

    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        // Writing to a text cannot fail.
        let _ = writeln!(self.0, "{line}");
    }
}

/// The value of a label as it stands between quotes.
fn escaped(value: &str) -> String {
    value
        .replace('\\', r"\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn each_family_says_what_it_is_and_then_its_samples() {
        let mut exposition = Exposition::default();

        exposition.counter("a_total", "Help.", 1);
        exposition.gauge("b", "Help.", 0.5);
        exposition.counters("c_total", "Help.", "code", [("x", &2), ("y", &3)]);

        let expected = "# HELP a_total Help.\n# TYPE a_total counter\na_total 1\n\
                        # HELP b Help.\n# TYPE b gauge\nb 0.5\n\
                        # HELP c_total Help.\n# TYPE c_total counter\n\
                        c_total{code=\"x\"} 2\nc_total{code=\"y\"} 3\n";
        assert_eq!(exposition.into_text(), expected);
    }

    #[test]
    fn a_histogram_is_cumulative_and_in_seconds() {
        let histogram = Histogram::default();
        histogram.observe(Duration::from_millis(1));
        histogram.observe(Duration::from_millis(300));
        let mut exposition = Exposition::default();

        exposition.histogram("d_seconds", "Help.", &histogram.snapshot());

        let text = exposition.into_text();
        for line in [
            "d_seconds_bucket{le=\"0.0005\"} 0",
            "d_seconds_bucket{le=\"0.001\"} 1",
            "d_seconds_bucket{le=\"0.5\"} 2",
            "d_seconds_bucket{le=\"+Inf\"} 2",
            "d_seconds_sum 0.301",
            "d_seconds_count 2",
        ] {
            assert!(text.lines().any(|one| one == line), "{line} in {text}");
        }
    }

    #[test]
    fn no_value_of_a_label_breaks_out_of_its_quotes() {
        assert_eq!(escaped("a\"b\\c\nd"), r#"a\"b\\c\nd"#);
    }
}
