//! What every operator around one of tract's has: its name, and that it is equal to no other.

/// An operator that is never equal to another. tract merges equal operators.
macro_rules! never_equal {
    ($type:ident) => {
        impl PartialEq for $type {
            fn eq(&self, _: &Self) -> bool {
                false
            }
        }

        impl Eq for $type {}
    };
}

/// The name and description of an operator around tract's, which is its field `op`.
macro_rules! named_as_inner {
    ($type:ident) => {
        never_equal!($type);

        impl Op for $type {
            fn name(&self) -> StaticName {
                self.op.name()
            }

            fn info(&self) -> TractResult<Vec<String>> {
                self.op.info()
            }

            not_a_typed_op!();
        }
    };
}

/// The facts of an operator around tract's are those of its field `op`.
macro_rules! facts_of_inner {
    () => {
        fn infer_facts(
            &mut self,
            inputs: TVec<&InferenceFact>,
            outputs: TVec<&InferenceFact>,
            observed: TVec<&InferenceFact>,
        ) -> TractResult<(TVec<InferenceFact>, TVec<InferenceFact>, TVec<InferenceFact>)> {
            self.op.infer_facts(inputs, outputs, observed)
        }
    };
}

/// The outlets that an operator around tract's observes, and the number of its outputs, are those of its field `op`.
macro_rules! outlets_of_inner {
    () => {
        fn observe_outlets(
            &self,
            model: &InferenceModel,
            node: &InferenceNode,
        ) -> TractResult<Vec<OutletId>> {
            self.op.observe_outlets(model, node)
        }

        fn nboutputs(&self) -> TractResult<usize> {
            self.op.nboutputs()
        }

        as_op!();
    };
}

/// Evaluation in a plan is that without one: the operator is only evaluated while the model is loaded.
macro_rules! eval_while_loading {
    () => {
        fn eval(&self, _: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
            self.eval_out_of_plan(inputs)?.context("it is evaluated in a plan alone")
        }
    };
}

pub(super) use {eval_while_loading, facts_of_inner, named_as_inner, never_equal, outlets_of_inner};
