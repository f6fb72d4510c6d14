//! OpenMetrics text, read back.

use std::collections::BTreeMap;

/// One scrape.
#[derive(Debug)]
pub(crate) struct Metrics {
    pub(crate) text: String,
    samples: Vec<(String, BTreeMap<String, String>, f64)>,
}

impl Metrics {
    pub(crate) fn parse(text: String) -> Self {
        let samples = text
            .lines()
            .filter(|line| !line.starts_with('#') && !line.is_empty())
            .map(sample)
            .collect();
        Self { text, samples }
    }

    /// The sum of the samples of this name that carry all these labels; 0 when there is none.
    pub(crate) fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let fits = |have: &BTreeMap<String, String>| {
            labels.iter().all(|(k, v)| have.get(*k).is_some_and(|x| x == v))
        };
        self.samples
            .iter()
            .filter(|(n, have, _)| n == name && fits(have))
            .map(|(_, _, value)| value)
            .sum()
    }

    /// Every value that a label has, over all samples.
    pub(crate) fn label_values(&self) -> Vec<&str> {
        self.samples
            .iter()
            .flat_map(|(_, labels, _)| labels.values().map(String::as_str))
            .collect()
    }
}

fn sample(line: &str) -> (String, BTreeMap<String, String>, f64) {
    let (series, value) = line
        .rsplit_once(' ')
        .unwrap_or_else(|| panic!("a sample: {line}"));
    let (name, labels) = series.split_once('{').unwrap_or((series, ""));
    let labels = labels.trim_end_matches('}');
    let mut map = BTreeMap::new();
    for pair in labels.split("\",").filter(|pair| !pair.is_empty()) {
        let (key, value) = pair
            .split_once("=\"")
            .unwrap_or_else(|| panic!("a label: {line}"));
        map.insert(key.to_owned(), value.trim_end_matches('"').to_owned());
    }
    (
        name.to_owned(),
        map,
        value.parse().unwrap_or_else(|_| panic!("a number: {line}")),
    )
}
