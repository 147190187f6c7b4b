//! A page as text, in the two formats that Prometheus reads: `OpenMetrics` 1.0, and its own before that (0.0.4).

use std::{fmt, sync::Arc};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, prometheus_text, text},
    registry::Registry,
};

use super::{families, page::MetricsPage, writer::FamilyWriter};

/// A format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricsFormat {
    /// `OpenMetrics` 1.0.
    OpenMetrics,
    /// Prometheus' text format 0.0.4.
    Plain,
}

impl MetricsFormat {
    /// The best format for whoever says in `Accept` what it takes.
    #[must_use]
    pub fn accepted(accept: &str) -> Self {
        if accept.contains("application/openmetrics-text") { Self::OpenMetrics } else { Self::Plain }
    }

    /// Its `Content-Type`.
    #[must_use]
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Plain => prometheus_text::CONTENT_TYPE,
        }
    }
}

/// The text of a page.
///
/// # Errors
/// None of its own: those of the text that it is added to.
pub fn encode(page: &Arc<MetricsPage>, format: MetricsFormat) -> Result<String, fmt::Error> {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(PageCollector(Arc::clone(page))));
    let mut out = String::new();
    match format {
        MetricsFormat::OpenMetrics => text::encode(&mut out, &registry)?,
        MetricsFormat::Plain => prometheus_text::encode(&mut out, &registry)?,
    }
    Ok(out)
}

#[derive(Debug)]
struct PageCollector(Arc<MetricsPage>);

impl Collector for PageCollector {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        families::write(&mut FamilyWriter(encoder), &self.0)
    }
}
