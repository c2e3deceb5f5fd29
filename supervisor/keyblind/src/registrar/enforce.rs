//! What this host's kernel lets the registrar enforce, layer by layer.

use super::protocol::{Layer, LayerReport};

/// The layers in force. Scopes are always there: without cgroups there is no registrar.
#[derive(Debug)]
pub(super) struct Enforcement {
    layers: Vec<LayerReport>,
}

impl Enforcement {
    /// Loads what can be loaded, and says of the rest why not.
    pub(super) fn start() -> Self {
        let absent = |layer| LayerReport {
            layer,
            enforced: false,
            why: "this version attaches no kernel programs yet".into(),
        };
        let scopes = LayerReport {
            layer: Layer::Scope,
            enforced: true,
            why: "cgroup v2: every process of a run is in its scope, and is killed with it".into(),
        };
        Self { layers: vec![absent(Layer::Files), absent(Layer::Addresses), scopes] }
    }

    /// Each layer.
    pub(super) fn layers(&self) -> &[LayerReport] {
        &self.layers
    }

    /// Whether the layer is in force.
    pub(super) fn has(&self, layer: Layer) -> bool {
        self.layers.iter().any(|report| report.layer == layer && report.enforced)
    }
}
