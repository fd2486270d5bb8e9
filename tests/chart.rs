//! Promises about what the chart renders: they need Helm, which comes with the control plane.

mod modes;
mod refused;
mod values;
