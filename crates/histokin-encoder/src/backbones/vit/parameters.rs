//! The parameters of a vision transformer.

use super::{Projection, Shapes, VitArchitecture};

impl VitArchitecture {
    /// Returns the names and shapes of the network's parameters.
    pub fn shapes(&self) -> Shapes {
        let Self { width, patch_px, hidden, gated, grid, .. } = *self;
        let mut shapes = Shapes::new();
        let mut add = |name: String, shape: &[usize]| _ = shapes.insert(name, shape.to_vec());
        add("patch_embed.proj.weight".into(), &[width, 3, patch_px, patch_px]);
        if self.patch_bias {
            add("patch_embed.proj.bias".into(), &[width]);
        }
        if self.class_token {
            add("cls_token".into(), &[1, 1, width]);
        }
        if self.registers > 0 {
            add("reg_token".into(), &[1, self.registers, width]);
        }
        add("pos_embed".into(), &[1, self.prefix_positions() + grid * grid, width]);
        let outside = [("norm_pre", self.pre_norm), ("norm", self.final_norm), ("fc_norm", self.pooled_norm)];
        let outside = outside.into_iter().filter(|(_, is_there)| *is_there).map(|(name, _)| name.to_owned());
        let in_blocks =
            (0..self.depth).flat_map(|number| [1, 2].map(|norm| format!("blocks.{number}.norm{norm}")));
        for name in outside.chain(in_blocks) {
            add(format!("{name}.weight"), &[width]);
            add(format!("{name}.bias"), &[width]);
        }
        let mut linear = |name: String, [outputs, inputs]: [usize; 2], bias: bool| {
            add(format!("{name}.weight"), &[outputs, inputs]);
            if bias {
                add(format!("{name}.bias"), &[outputs]);
            }
        };
        for number in 0..self.depth {
            let first = if gated { 2 * hidden } else { hidden };
            linear(format!("blocks.{number}.attn.qkv"), [3 * width, width], self.qkv_bias);
            linear(format!("blocks.{number}.attn.proj"), [width, width], true);
            linear(format!("blocks.{number}.mlp.fc1"), [first, width], true);
            linear(format!("blocks.{number}.mlp.fc2"), [width, hidden], true);
        }
        for (index, layer) in self.projection_layers().into_iter().enumerate() {
            let bias = self.projection.is_some_and(|projection| projection.bias);
            linear(format!("projection.{index}"), layer, bias);
        }
        if self.layer_scale {
            for number in 0..self.depth {
                add(format!("blocks.{number}.ls1.gamma"), &[width]);
                add(format!("blocks.{number}.ls2.gamma"), &[width]);
            }
        }
        shapes
    }

    /// Returns the outputs and inputs of the projection's layers.
    pub(crate) fn projection_layers(&self) -> Vec<[usize; 2]> {
        match self.projection {
            None => Vec::new(),
            Some(Projection { hidden: None, outputs, .. }) => vec![[outputs, self.width]],
            Some(Projection { hidden: Some(hidden), outputs, .. }) => {
                vec![[hidden, self.width], [outputs, hidden]]
            }
        }
    }
}
