//! Families of metrics, each written as a whole.

use std::fmt;

use prometheus_client::{
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::{MetricType, counter::ConstCounter, gauge::ConstGauge, histogram::Histogram, info::Info},
    registry::Unit,
};

/// What a metric is called and means. The unit is part of the name, and so is what the type adds.
#[derive(Clone, Copy, Debug)]
pub(super) struct MetricFamily<'a> {
    pub(super) name: &'a str,
    pub(super) unit: &'a str,
    pub(super) help: &'a str,
}

/// The labels of a series.
pub(super) type SeriesLabels<'a> = Vec<(&'static str, &'a str)>;

/// Writes families, each as a whole.
pub(super) struct FamilyWriter<'a>(pub(super) DescriptorEncoder<'a>);

impl FamilyWriter<'_> {
    /// Counters, which only go up.
    pub(super) fn counters<'a>(
        &mut self,
        family: MetricFamily<'_>,
        series: impl Iterator<Item = (SeriesLabels<'a>, u64)>,
    ) -> fmt::Result {
        self.each(
            family,
            MetricType::Counter,
            series.map(|(labels, value)| (labels, ConstCounter::new(value))),
        )
    }

    /// Amounts that go up and down.
    pub(super) fn gauges<'a>(
        &mut self,
        family: MetricFamily<'_>,
        series: impl Iterator<Item = (SeriesLabels<'a>, i64)>,
    ) -> fmt::Result {
        self.each(family, MetricType::Gauge, series.map(|(labels, value)| (labels, ConstGauge::new(value))))
    }

    /// A number of seconds, which only goes up.
    pub(super) fn seconds(&mut self, family: MetricFamily<'_>, value: f64) -> fmt::Result {
        self.each(family, MetricType::Counter, [(Vec::new(), ConstCounter::new(value))].into_iter())
    }

    /// A moment, or a number of seconds, that may be any.
    pub(super) fn gauge(&mut self, family: MetricFamily<'_>, value: f64) -> fmt::Result {
        self.each(family, MetricType::Gauge, [(Vec::new(), ConstGauge::new(value))].into_iter())
    }

    /// How often something took how long.
    pub(super) fn histogram(&mut self, family: MetricFamily<'_>, of: &Histogram) -> fmt::Result {
        let MetricFamily { name, unit, help } = family;
        let unit = unit_of(unit);
        of.encode(self.0.encode_descriptor(name, help, unit.as_ref(), MetricType::Histogram)?)
    }

    /// What something is, in labels.
    pub(super) fn info(&mut self, family: MetricFamily<'_>, labels: SeriesLabels<'_>) -> fmt::Result {
        let MetricFamily { name, help, .. } = family;
        let labels: Vec<_> = labels.into_iter().map(|(key, value)| (key, value.to_owned())).collect();
        Info::new(labels).encode(self.0.encode_descriptor(name, help, None, MetricType::Info)?)
    }

    fn each<'a, M: EncodeMetric>(
        &mut self,
        family: MetricFamily<'_>,
        of: MetricType,
        series: impl Iterator<Item = (SeriesLabels<'a>, M)>,
    ) -> fmt::Result {
        let MetricFamily { name, unit, help } = family;
        let unit = unit_of(unit);
        let mut encoder = self.0.encode_descriptor(name, help, unit.as_ref(), of)?;
        for (labels, metric) in series {
            metric.encode(encoder.encode_family(&labels)?)?;
        }
        Ok(())
    }
}

fn unit_of(name: &str) -> Option<Unit> {
    match name {
        "" => None,
        "bytes" => Some(Unit::Bytes),
        "seconds" => Some(Unit::Seconds),
        other => Some(Unit::Other(other.to_owned())),
    }
}
