//! What computes the recurrent nodes of a model, and how the operators' builders learn it.

use tract_onnx::tract_hir::internal::*;

/// What computes the recurrent nodes of a [`Model`](crate::Model).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Kernels {
    /// rnnpack's kernels.
    #[default]
    Rnnpack,
    /// The naive reference in f64, to judge accuracy. Its results are rounded once, at the end of a node.
    Reference64,
    /// tract's own operator, as an independent check. If it is known to compute a node wrongly, the model is refused.
    /// The error names the attribute or input that it ignores.
    Tract,
    /// ONNX Runtime's arithmetic for `DynamicQuantizeLSTM`, as it computes on one thread: [`rnnpack_onnx::OnnxRuntimeLstm`]
    /// says how it differs. It is slow, and there to explain a difference. Other recurrent nodes run on rnnpack's kernels.
    OnnxRuntime,
}

impl Kernels {
    /// Everything that can compute the nodes.
    pub(crate) const ALL: [Kernels; 4] =
        [Kernels::Rnnpack, Kernels::Reference64, Kernels::Tract, Kernels::OnnxRuntime];
}

/// What the builders of operators must know. Builders are plain functions, so they cannot capture it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Settings {
    pub(crate) kernels: Kernels,
    /// The number of threads of a recurrent node. 0 means as many as rayon has.
    pub(crate) threads: usize,
}

/// The property of a model under construction that holds the settings.
const PROPERTY: &str = "rnnpack.settings";

impl Settings {
    /// rnnpack's kernels on the calling thread.
    pub(crate) const DEFAULT: Settings = Settings { kernels: Kernels::Rnnpack, threads: 1 };

    /// Passes the settings to the builders of a model's operators.
    pub(crate) fn hand_to(self, template: &mut InferenceModel) {
        let kernels = Kernels::ALL.iter().position(|&k| k == self.kernels).unwrap_or_default();
        let property = tensor1(&[kernels as i64, self.threads as i64]);
        template.properties.insert(PROPERTY.into(), property.into_arc_tensor());
    }

    /// The settings of the model under construction, or the default if no loader has set any.
    pub(crate) fn of(template: &InferenceModel) -> TractResult<Settings> {
        let Some(property) = template.properties.get(PROPERTY) else { return Ok(Settings::DEFAULT) };
        let [kernels, threads] = property.try_as_plain_ram()?.as_slice::<i64>()? else {
            bail!("no settings")
        };
        let kernels = usize::try_from(*kernels).ok().and_then(|index| Kernels::ALL.get(index));
        Ok(Settings { kernels: *kernels.context("no settings")?, threads: *threads as usize })
    }
}
