//! Promises about what the chart renders: they need Helm, which comes with the control plane.

mod refused;
mod values;
