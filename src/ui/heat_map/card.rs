//! Comparing descriptors on the GPU, where the descriptors of the slides in view stay between pointer
//! positions.

use std::sync::{Arc, Weak};

use eframe::wgpu;
use wgpu::util::DeviceExt as _;

use crate::descriptors::DescriptorSet;
use crate::workers::similarity_maps::GraphicsComparer;

/// Tiles per work group, as in `compare.wgsl`.
const GROUP: u32 = 64;

/// Maximum bytes of descriptors on the GPU; larger sets are compared on the CPU.
const MOST_RESIDENT: u64 = 1 << 30;

/// Compares descriptors on the GPU.
pub struct GraphicsCard {
    device: wgpu::Device,
    queue: wgpu::Queue,
    pipeline: wgpu::ComputePipeline,
    layout: wgpu::BindGroupLayout,
    /// In order of last use, most recent last.
    resident: Vec<Resident>,
}

/// The descriptors of one slide on the GPU, with buffers for query and distances.
struct Resident {
    set: Weak<DescriptorSet>,
    bytes: u64,
    tiles: u32,
    query: wgpu::Buffer,
    bindings: wgpu::BindGroup,
    squared: wgpu::Buffer,
    answer: wgpu::Buffer,
}

impl GraphicsCard {
    /// Creates the compute pipeline.
    pub fn new(device: wgpu::Device, queue: wgpu::Queue) -> Self {
        let buffer = |binding: u32, ty: wgpu::BufferBindingType| wgpu::BindGroupLayoutEntry {
            binding,
            visibility: wgpu::ShaderStages::COMPUTE,
            ty: wgpu::BindingType::Buffer { ty, has_dynamic_offset: false, min_binding_size: None },
            count: None,
        };
        let storage = |read_only: bool| wgpu::BufferBindingType::Storage { read_only };
        let layout = device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
            label: Some("compare descriptors"),
            entries: &[
                buffer(0, wgpu::BufferBindingType::Uniform),
                buffer(1, storage(true)),
                buffer(2, storage(true)),
                buffer(3, storage(false)),
            ],
        });
        let module = device.create_shader_module(wgpu::include_wgsl!("compare.wgsl"));
        let pipeline_layout = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
            label: Some("compare descriptors"),
            bind_group_layouts: &[Some(&layout)],
            immediate_size: 0,
        });
        let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: Some("compare descriptors"),
            layout: Some(&pipeline_layout),
            module: &module,
            entry_point: Some("compare"),
            compilation_options: Default::default(),
            cache: None,
        });
        Self { device, queue, pipeline, layout, resident: Vec::new() }
    }

    /// Creates it on a device of its own, a software one if there is no other, with the device's name; needs no window.
    /// `None` if no device works.
    pub fn headless() -> Option<(Self, String)> {
        let instance = wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle_from_env());
        let adapter =
            pollster::block_on(instance.request_adapter(&wgpu::RequestAdapterOptions::default())).ok()?;
        let device = pollster::block_on(adapter.request_device(&wgpu::DeviceDescriptor::default()));
        let (device, queue) = device.ok()?;
        Some((Self::new(device, queue), adapter.get_info().name))
    }

    /// Whether comparing on the adapter is faster than on the CPU; not for a software adapter, which itself
    /// runs on the CPU.
    pub fn is_worth_it(adapter: &wgpu::AdapterInfo) -> bool {
        matches!(
            adapter.device_type,
            wgpu::DeviceType::DiscreteGpu | wgpu::DeviceType::IntegratedGpu | wgpu::DeviceType::VirtualGpu
        )
    }

    /// Uploads a set unless it is on the GPU already. Returns `false` if it does not fit.
    fn prepare(&mut self, set: &Arc<DescriptorSet>) -> bool {
        self.resident.retain(|held| held.set.strong_count() > 0);
        let is_it = |held: &Resident| std::ptr::eq(held.set.as_ptr(), Arc::as_ptr(set));
        if let Some(index) = self.resident.iter().position(is_it) {
            let held = self.resident.remove(index);
            self.resident.push(held);
            return true;
        }
        let fours = set.width().div_ceil(4);
        let bytes = (set.len() * fours * 16) as u64;
        let limits = self.device.limits();
        let most_tiles = u64::from(limits.max_compute_workgroups_per_dimension) * u64::from(GROUP);
        let largest = limits.max_storage_buffer_binding_size.min(limits.max_buffer_size);
        if set.is_empty() || bytes > largest.min(MOST_RESIDENT) || set.len() as u64 > most_tiles {
            return false;
        }
        while self.resident.iter().map(|held| held.bytes).sum::<u64>() + bytes > MOST_RESIDENT {
            self.resident.remove(0);
        }
        let held = self.upload(set, fours);
        self.resident.push(held);
        true
    }

    fn upload(&self, set: &Arc<DescriptorSet>, fours: usize) -> Resident {
        let tiles = set.len();
        let mut values = vec![[0.0f32; 4]; tiles * fours];
        for (tile, row) in set.features().chunks_exact(set.width()).enumerate() {
            for (four, numbers) in row.chunks(4).enumerate() {
                values[four * tiles + tile][..numbers.len()].copy_from_slice(numbers);
            }
        }
        let init = |label: &'static str, contents: &[u8], usage: wgpu::BufferUsages| {
            let label = Some(label);
            self.device.create_buffer_init(&wgpu::util::BufferInitDescriptor { label, contents, usage })
        };
        let empty = |label: &'static str, size: usize, usage: wgpu::BufferUsages| {
            let (label, size) = (Some(label), size as u64);
            self.device.create_buffer(&wgpu::BufferDescriptor {
                label,
                size,
                usage,
                mapped_at_creation: false,
            })
        };
        let extent = [tiles as u32, fours as u32, 0, 0];
        let extent = init("extent", bytemuck::cast_slice(&extent), wgpu::BufferUsages::UNIFORM);
        let descriptors = init("descriptors", bytemuck::cast_slice(&values), wgpu::BufferUsages::STORAGE);
        let query = empty("query", fours * 16, wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_DST);
        let squared = empty("squared", tiles * 4, wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC);
        let answer = empty("answer", tiles * 4, wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::MAP_READ);
        let buffers = [&extent, &query, &descriptors, &squared];
        let entries: Vec<wgpu::BindGroupEntry<'_>> = (0..)
            .zip(buffers)
            .map(|(binding, buffer)| wgpu::BindGroupEntry { binding, resource: buffer.as_entire_binding() })
            .collect();
        let bindings = self.device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some("compare descriptors"),
            layout: &self.layout,
            entries: &entries,
        });
        let (set, bytes) = (Arc::downgrade(set), (values.len() * 16) as u64);
        Resident { set, bytes, tiles: tiles as u32, query, bindings, squared, answer }
    }
}

impl GraphicsComparer for GraphicsCard {
    fn prepare(&mut self, sets: &[&Arc<DescriptorSet>]) -> bool {
        let all = sets.iter().all(|set| self.prepare(set));
        // Sets uploaded last may have evicted earlier ones of this call.
        all && self.resident.len() >= sets.len()
    }

    fn squared_distances(&mut self, query: &[f32], sets: &[&Arc<DescriptorSet>]) -> Option<Vec<Vec<f32>>> {
        if !GraphicsComparer::prepare(self, sets) {
            return None;
        }
        let find = |set: &&Arc<DescriptorSet>| {
            self.resident.iter().find(|held| std::ptr::eq(held.set.as_ptr(), Arc::as_ptr(set)))
        };
        let held: Vec<&Resident> = sets.iter().map(find).collect::<Option<_>>()?;
        let mut padded = query.to_vec();
        padded.resize(query.len().next_multiple_of(4), 0.0);
        let mut encoder = self.device.create_command_encoder(&Default::default());
        for one in &held {
            self.queue.write_buffer(&one.query, 0, bytemuck::cast_slice(&padded));
            let mut pass = encoder.begin_compute_pass(&Default::default());
            pass.set_pipeline(&self.pipeline);
            pass.set_bind_group(0, &one.bindings, &[]);
            pass.dispatch_workgroups(one.tiles.div_ceil(GROUP), 1, 1);
        }
        for one in &held {
            encoder.copy_buffer_to_buffer(&one.squared, 0, &one.answer, 0, one.squared.size());
        }
        self.queue.submit([encoder.finish()]);
        let (mapped, are_mapped) = crossbeam_channel::bounded(held.len());
        for one in &held {
            let mapped = mapped.clone();
            one.answer.map_async(wgpu::MapMode::Read, .., move |result| {
                let _ = mapped.send(result.is_ok()); // Fails if the receiver below has stopped.
            });
        }
        self.device.poll(wgpu::PollType::wait_indefinitely()).ok()?;
        let mut answers = Vec::with_capacity(held.len());
        for _ in &held {
            are_mapped.recv().ok().filter(|is_mapped| *is_mapped)?;
        }
        for one in &held {
            let bytes = one.answer.get_mapped_range(..).ok()?;
            answers.push(bytemuck::pod_collect_to_vec(&bytes));
            drop(bytes);
            one.answer.unmap();
        }
        Some(answers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::descriptors::{DescriptorHeader, Recipe, Row};
    use crate::encoder::EncoderId;
    use crate::index::squared_distance;
    use crate::query::similarity_map::similarity;
    use crate::slide::SlideId;
    use crate::stain::StainSetting;
    use crate::tiling::{TileGrid, TileIndex, TileSettings};

    fn set(tiles: u32, width: usize) -> Arc<DescriptorSet> {
        let grid = TileGrid {
            tile_px: 224,
            tile_level0: 224,
            tile_level0_y: 224,
            effective_mpp: 1.0,
            columns: 50,
            rows: 50,
        };
        let recipe = Recipe {
            encoder_id: EncoderId("test".to_owned()),
            encoder_name: "test".to_owned(),
            tiles: TileSettings::default(),
            stain: StainSetting::None,
        };
        let header = DescriptorHeader::new(SlideId(format!("{tiles:016}")), recipe, width, &grid, tiles);
        let value = |tile: u32, axis: usize| {
            let hash = (tile * 977 + axis as u32 * 131).wrapping_mul(2_654_435_761) >> 8;
            (hash % 2000) as f32 / 1000.0 - 1.0
        };
        let rows: Vec<Vec<f32>> =
            (0..tiles).map(|tile| (0..width).map(|axis| value(tile, axis)).collect()).collect();
        let rows: Vec<(TileIndex, &[f32])> =
            (0..).map(TileIndex).zip(rows.iter().map(Vec::as_slice)).collect();
        Arc::new(DescriptorSet::from_rows(header, &rows, 0))
    }

    #[test]
    fn the_card_finds_what_the_processor_finds() {
        let (mut card, _) =
            GraphicsCard::headless().expect("window tests need an adapter, which may be a software one");
        for width in [128, 50, 3] {
            let sets = [set(1, width), set(64, width), set(2001, width)];
            let requests: Vec<&Arc<DescriptorSet>> = sets.iter().collect();
            for row in [0, 1500] {
                let query = sets[2].descriptor(Row(row));
                let answers = card.squared_distances(query, &requests).unwrap();
                for (set, answer) in sets.iter().zip(&answers) {
                    assert_eq!(answer.len(), set.len());
                    for (row, squared) in (0..).map(Row).zip(answer) {
                        let exact = squared_distance(query, set.descriptor(row));
                        assert!((squared - exact).abs() <= 1e-5 * exact, "{squared} is not {exact}");
                        let (a, b) = (similarity(*squared, 4.0), similarity(exact, 4.0));
                        assert!(a.abs_diff(b) <= 1, "{a} is not {b}");
                    }
                }
                assert_eq!(answers[2][row as usize], 0.0);
            }
        }
        // Descriptors of closed slides are removed from the GPU.
        let closed = set(300, 128);
        assert!(GraphicsComparer::prepare(&mut card, &[&closed]));
        drop(closed);
        let kept = set(200, 128);
        assert!(GraphicsComparer::prepare(&mut card, &[&kept]));
        assert_eq!(card.resident.len(), 1);
        assert!(!GraphicsComparer::prepare(&mut card, &[&set(0, 128)]), "nothing to compare");
    }
}
