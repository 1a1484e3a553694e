//! The device: which adapters there are, one of them opened with all that it can do, and work for it.
//!
//! Whatever goes wrong on the device comes back as an [`Error::Gpu`] from the next thing that waits for
//! it; a lost device stays lost.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_channel::oneshot;
use web_time::Instant;

use super::kernels::gemv::{Choice, Variant};
use super::kernels::{Bind, Flavour, Source};
use crate::error::Error;
use crate::latency::calibration::Adapter;

/// A device that was opened.
pub struct Device {
    adapter: Adapter,
    flavour: Flavour,
    device: wgpu::Device,
    queue: wgpu::Queue,
    /// By the name of their source.
    kernels: RefCell<BTreeMap<String, Kernel>>,
    /// One for each signature: kernels with equal bindings share bind groups.
    layouts: RefCell<Vec<(Vec<Bind>, Rc<wgpu::BindGroupLayout>)>>,
    /// Which kernel multiplies more columns than a GEMV has, by size.
    choice: Cell<Choice>,
    problems: Arc<Problems>,
    /// A word that every submission copies and reads, so that the end is the end of all its work.
    end: wgpu::Buffer,
    end_source: wgpu::Buffer,
    /// Where a step's tokens are read.
    words: wgpu::Buffer,
    timestamps: Option<Timestamps>,
}

struct Timestamps {
    set: wgpu::QuerySet,
    resolved: wgpu::Buffer,
    read: wgpu::Buffer,
    period_ns: f64,
}

/// What the device complained of, since it does so at any time.
#[derive(Default)]
struct Problems {
    lost: Mutex<Option<String>>,
    error: Mutex<Option<Error>>,
    /// Whether the device was ended by us.
    ended: AtomicBool,
}

impl Problems {
    fn note(&self, error: Error) {
        // The first tells the cause; what follows follows from it.
        lock(&self.error).get_or_insert(error);
    }
}

/// A poisoned lock holds a whole value here: only assignments happen under it.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A compiled variant of a kernel.
#[derive(Clone)]
pub struct Kernel {
    /// That of its source.
    name: Rc<str>,
    pipeline: Rc<wgpu::ComputePipeline>,
}

/// A kernel with its bindings, and how many workgroups of it to run.
#[derive(Clone)]
pub struct Dispatch {
    kernel: Kernel,
    bindings: Rc<wgpu::BindGroup>,
    workgroups: [u32; 3],
}

impl Dispatch {
    /// The same over other workgroups.
    pub fn over(&self, workgroups: [u32; 3]) -> Dispatch {
        Dispatch {
            kernel: self.kernel.clone(),
            bindings: self.bindings.clone(),
            workgroups,
        }
    }

    /// The same bindings for another variant of the kernel.
    pub fn by(&self, kernel: &Kernel, workgroups: [u32; 3]) -> Dispatch {
        Dispatch {
            kernel: kernel.clone(),
            bindings: self.bindings.clone(),
            workgroups,
        }
    }

    /// The kernel's name, with its variant, and the workgroups.
    pub(super) fn shape(&self) -> (String, [u32; 3]) {
        (self.kernel.name.to_string(), self.workgroups)
    }
}

/// How long a submission took.
#[derive(Debug, Clone, Copy)]
pub struct Took {
    /// From submission to the moment at which its end was known, s.
    pub wall_s: f64,
    /// Of the pass by the device's clock, s, where it has one that makes sense.
    pub device_s: Option<f64>,
}

pub(super) fn gpu_error(code: &'static str, problem: impl Into<String>) -> Error {
    Error::Gpu {
        code,
        problem: problem.into(),
    }
}

async fn instance() -> wgpu::Instance {
    wgpu::Instance::new(wgpu::InstanceDescriptor {
        backends: wgpu::Backends::BROWSER_WEBGPU
            | wgpu::Backends::VULKAN
            | wgpu::Backends::METAL
            | wgpu::Backends::DX12,
        // No validation layers: they are for those who write drivers, and cost time.
        flags: wgpu::InstanceFlags::empty(),
        ..wgpu::InstanceDescriptor::new_without_display_handle()
    })
}

/// Every adapter there is, in the order of their numbers. A browser shows one at most.
pub async fn adapters() -> Vec<Adapter> {
    found(&instance().await)
        .await
        .iter()
        .map(describe)
        .collect()
}

#[cfg(not(target_arch = "wasm32"))]
async fn found(instance: &wgpu::Instance) -> Vec<wgpu::Adapter> {
    let mut adapters = instance.enumerate_adapters(wgpu::Backends::all()).await;
    // Real devices first, fast ones before integrated ones; within a kind as the drivers list them.
    adapters.sort_by_key(|adapter| match adapter.get_info().device_type {
        wgpu::DeviceType::DiscreteGpu => 0,
        wgpu::DeviceType::IntegratedGpu => 1,
        wgpu::DeviceType::VirtualGpu => 2,
        wgpu::DeviceType::Other => 3,
        wgpu::DeviceType::Cpu => 4,
    });
    adapters
}

#[cfg(target_arch = "wasm32")]
async fn found(instance: &wgpu::Instance) -> Vec<wgpu::Adapter> {
    let options = wgpu::RequestAdapterOptions {
        // A hint that some systems ignore: the page shows which adapter it became.
        power_preference: wgpu::PowerPreference::HighPerformance,
        ..Default::default()
    };
    // "There is none" is an answer; `open` says so.
    instance
        .request_adapter(&options)
        .await
        .into_iter()
        .collect()
}

/// Whether a name is that of a processor in the part of a GPU.
fn plays_a_gpu(name: &str) -> bool {
    let name = name.to_lowercase();
    ["swiftshader", "llvmpipe", "lavapipe", "basic render"]
        .iter()
        .any(|known| name.contains(known))
}

fn describe(adapter: &wgpu::Adapter) -> Adapter {
    let info = adapter.get_info();
    let features = adapter.features();
    let limits = adapter.limits();
    let driver = format!("{} {}", info.driver, info.driver_info);
    Adapter {
        software: info.device_type == wgpu::DeviceType::Cpu || plays_a_gpu(&info.name),
        backend: format!("{:?}", info.backend),
        driver: driver.trim().to_owned(),
        user_agent: None,
        subgroups: features.contains(wgpu::Features::SUBGROUP),
        subgroup_min: info.subgroup_min_size,
        subgroup_max: info.subgroup_max_size,
        shader_f16: features.contains(wgpu::Features::SHADER_F16),
        timestamps: features.contains(wgpu::Features::TIMESTAMP_QUERY),
        max_buffer_bytes: limits.max_buffer_size,
        max_binding_bytes: limits.max_storage_buffer_binding_size,
        name: info.name,
    }
}

impl Device {
    /// Opens an adapter, by its place among [`adapters`]; the first where none is named.
    ///
    /// Errors: `no-adapter`, or `gpu-refused` where its driver opens no device.
    pub async fn open(number: Option<usize>) -> Result<Device, Error> {
        let instance = instance().await;
        let adapters = found(&instance).await;
        let count = adapters.len();
        let adapter = adapters
            .into_iter()
            .nth(number.unwrap_or(0))
            .ok_or_else(|| missing(number, count))?;
        let description = describe(&adapter);
        let features = adapter.features()
            & (wgpu::Features::SUBGROUP
                | wgpu::Features::SHADER_F16
                | wgpu::Features::TIMESTAMP_QUERY);
        // All that the adapter can hold; where its driver then refuses, what every device has.
        let offered = adapter.limits();
        let generous = wgpu::Limits {
            max_buffer_size: offered.max_buffer_size,
            max_storage_buffer_binding_size: offered.max_storage_buffer_binding_size,
            ..wgpu::Limits::default()
        };
        let (device, queue) = match request(&adapter, features, generous).await {
            Ok(opened) => opened,
            Err(_) => request(&adapter, features, wgpu::Limits::default())
                .await
                .map_err(|e| {
                    gpu_error("gpu-refused", format!("the driver opened no device: {e}"))
                })?,
        };
        Ok(Device::of(device, queue, description))
    }

    fn of(device: wgpu::Device, queue: wgpu::Queue, description: Adapter) -> Device {
        let problems = Arc::new(Problems::default());
        let noted = problems.clone();
        device.on_uncaptured_error(Arc::new(move |error: wgpu::Error| {
            noted.note(said(&error));
        }));
        let noted = problems.clone();
        device.set_device_lost_callback(move |reason, message| {
            // Destroyed on purpose by us: nothing was lost.
            let by_us = noted.ended.load(Ordering::Relaxed);
            if reason != wgpu::DeviceLostReason::Destroyed || !by_us {
                let why = if message.is_empty() {
                    "the driver gave no reason".to_owned()
                } else {
                    message
                };
                *lock(&noted.lost) = Some(why);
            }
        });
        let limits = device.limits();
        let features = device.features();
        let adapter = Adapter {
            max_buffer_bytes: limits.max_buffer_size,
            max_binding_bytes: limits.max_storage_buffer_binding_size,
            ..description
        };
        let words = |count, label, usage| {
            device.create_buffer(&wgpu::BufferDescriptor {
                label: Some(label),
                size: 4 * count,
                usage,
                mapped_at_creation: false,
            })
        };
        Device {
            flavour: Flavour::of(&adapter),
            choice: Cell::new(Choice::first(Flavour::of(&adapter))),
            end: words(1, "end", READABLE),
            end_source: words(1, "end source", wgpu::BufferUsages::COPY_SRC),
            words: words(MOST_WORDS, "words", READABLE),
            timestamps: features
                .contains(wgpu::Features::TIMESTAMP_QUERY)
                .then(|| Timestamps::new(&device, queue.get_timestamp_period())),
            adapter,
            device,
            queue,
            kernels: RefCell::default(),
            layouts: RefCell::default(),
            problems,
        }
    }

    pub fn adapter(&self) -> &Adapter {
        &self.adapter
    }

    /// What a browser says of the adapter and of itself: the driver's name it gives to few pages.
    pub fn seen_by(&mut self, name: String, user_agent: String, subgroups: bool) {
        if self.adapter.name.is_empty() {
            self.adapter.name = name;
        }
        self.adapter.software |= plays_a_gpu(&self.adapter.name);
        self.adapter.user_agent = Some(user_agent);
        self.adapter.subgroups |= subgroups;
        self.flavour = Flavour::of(&self.adapter);
        self.choice.set(Choice::first(self.flavour));
    }

    pub fn flavour(&self) -> Flavour {
        self.flavour
    }

    /// Which kernel multiplies with so many columns.
    pub fn variant(&self, columns: u32) -> Variant {
        self.choice.get().variant(columns)
    }

    pub fn choice(&self) -> Choice {
        self.choice.get()
    }

    /// Chooses the kernels: those that a calibration timed
    /// ([`Calibration::kernels`](crate::latency::calibration::Calibration::kernels)). A new device uses
    /// [`Choice::first`].
    pub fn choose(&self, choice: Choice) {
        self.choice.set(choice.on(self.flavour));
    }

    /// Uses less than the device has: to test every variant on it.
    pub fn restrict(&mut self, flavour: Flavour) {
        self.flavour = Flavour {
            subgroups: flavour.subgroups && self.adapter.subgroups,
            f16: flavour.f16 && self.adapter.shader_f16,
        };
        self.choose(self.choice());
    }

    /// Sees no more than `bytes` of a buffer at once: to test matrices in several buffers.
    pub fn restrict_binding(&mut self, bytes: u64) {
        self.adapter.max_binding_bytes = self.adapter.max_binding_bytes.min(bytes);
    }

    /// Ends the device and frees all that it holds; what still waits for it gets an error.
    pub fn destroy(&self) {
        self.problems.ended.store(true, Ordering::Relaxed);
        self.device.destroy();
    }

    // ---- Buffers -------------------------------------------------------------------------------

    /// A buffer of zeros for kernels.
    pub fn storage(&self, bytes: u64) -> wgpu::Buffer {
        self.device.create_buffer(&wgpu::BufferDescriptor {
            label: None,
            size: bytes.max(16).next_multiple_of(4),
            usage: wgpu::BufferUsages::STORAGE
                | wgpu::BufferUsages::COPY_SRC
                | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        })
    }

    /// The same; `None` where the device's memory does not hold it.
    pub async fn try_storage(&self, bytes: u64) -> Result<Option<wgpu::Buffer>, Error> {
        if bytes > self.adapter.max_buffer_bytes {
            return Ok(None);
        }
        let memory = self.device.push_error_scope(wgpu::ErrorFilter::OutOfMemory);
        let buffer = self.storage(bytes);
        match memory.pop().await {
            None => self.healthy().map(|()| Some(buffer)),
            Some(_) => Ok(None),
        }
    }

    /// A buffer with these numbers.
    pub fn filled<T: bytemuck::NoUninit>(&self, contents: &[T]) -> wgpu::Buffer {
        let bytes: &[u8] = bytemuck::cast_slice(contents);
        let buffer = self.storage(bytes.len() as u64);
        self.write(&buffer, contents);
        buffer
    }

    /// A uniform with these words.
    pub fn uniform(&self, words: &[u32]) -> wgpu::Buffer {
        // Not mapped at creation: that panics on a device that is lost.
        let buffer = self.device.create_buffer(&wgpu::BufferDescriptor {
            label: None,
            size: words.len() as u64 * 4,
            usage: wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        self.write(&buffer, words);
        buffer
    }

    /// Overwrites the beginning of a buffer, before whatever is submitted next.
    pub fn write<T: bytemuck::NoUninit>(&self, buffer: &wgpu::Buffer, contents: &[T]) {
        self.queue
            .write_buffer(buffer, 0, bytemuck::cast_slice(contents));
    }

    /// Words into a buffer from the word `first` on.
    pub fn write_at(&self, buffer: &wgpu::Buffer, first: u64, words: &[u32]) {
        self.queue
            .write_buffer(buffer, first * 4, bytemuck::cast_slice(words));
    }

    /// Reads the first `count` numbers of a buffer, once all that was submitted is done.
    pub async fn read<T: bytemuck::Pod>(
        &self,
        buffer: &wgpu::Buffer,
        count: usize,
    ) -> Result<Vec<T>, Error> {
        if count == 0 {
            return Ok(Vec::new());
        }
        let bytes = ((count * size_of::<T>()) as u64).next_multiple_of(4);
        let copy = self.device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("read"),
            size: bytes,
            usage: wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        let mut encoder = self.device.create_command_encoder(&Default::default());
        encoder.copy_buffer_to_buffer(buffer, 0, &copy, 0, bytes);
        self.queue.submit([encoder.finish()]);
        self.map(&copy, bytes).await?;
        let numbers = mapped(&copy, count)?;
        copy.destroy();
        Ok(numbers)
    }

    // ---- Work ----------------------------------------------------------------------------------

    /// A kernel's variant with its bindings; compiled when it is first asked for.
    pub fn dispatch(
        &self,
        source: &Source,
        buffers: &[&wgpu::Buffer],
        workgroups: [u32; 3],
    ) -> Dispatch {
        let layout = self.layout(source.bindings);
        let entries: Vec<wgpu::BindGroupEntry> = buffers
            .iter()
            .zip(0..)
            .map(|(buffer, binding)| wgpu::BindGroupEntry {
                binding,
                resource: buffer.as_entire_binding(),
            })
            .collect();
        let bindings = self.device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some(&source.name),
            layout: &layout,
            entries: &entries,
        });
        Dispatch {
            kernel: self.kernel(source),
            bindings: Rc::new(bindings),
            workgroups,
        }
    }

    fn layout(&self, bindings: &[Bind]) -> Rc<wgpu::BindGroupLayout> {
        let mut layouts = self.layouts.borrow_mut();
        if let Some((_, layout)) = layouts.iter().find(|(known, _)| known == bindings) {
            return layout.clone();
        }
        let entries: Vec<wgpu::BindGroupLayoutEntry> = bindings
            .iter()
            .zip(0..)
            .map(|(bind, binding)| wgpu::BindGroupLayoutEntry {
                binding,
                visibility: wgpu::ShaderStages::COMPUTE,
                ty: wgpu::BindingType::Buffer {
                    ty: match bind {
                        Bind::Read => wgpu::BufferBindingType::Storage { read_only: true },
                        Bind::Write => wgpu::BufferBindingType::Storage { read_only: false },
                        Bind::Uniform => wgpu::BufferBindingType::Uniform,
                    },
                    has_dynamic_offset: false,
                    min_binding_size: None,
                },
                count: None,
            })
            .collect();
        let layout = Rc::new(self.device.create_bind_group_layout(
            &wgpu::BindGroupLayoutDescriptor {
                label: None,
                entries: &entries,
            },
        ));
        layouts.push((bindings.to_vec(), layout.clone()));
        layout
    }

    /// A variant, compiled when it is first asked for.
    pub fn kernel(&self, source: &Source) -> Kernel {
        let mut kernels = self.kernels.borrow_mut();
        if let Some(kernel) = kernels.get(&source.name) {
            return kernel.clone();
        }
        let module = self
            .device
            .create_shader_module(wgpu::ShaderModuleDescriptor {
                label: Some(&source.name),
                source: wgpu::ShaderSource::Wgsl(source.wgsl.as_str().into()),
            });
        let layout = self
            .device
            .create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
                label: None,
                bind_group_layouts: &[Some(&*self.layout(source.bindings))],
                immediate_size: 0,
            });
        let pipeline = Rc::new(self.device.create_compute_pipeline(
            &wgpu::ComputePipelineDescriptor {
                label: Some(&source.name),
                layout: Some(&layout),
                module: &module,
                entry_point: Some(source.entry),
                compilation_options: wgpu::PipelineCompilationOptions {
                    // Every word of workgroup memory is written before it is read.
                    zero_initialize_workgroup_memory: false,
                    ..Default::default()
                },
                cache: None,
            },
        ));
        let kernel = Kernel {
            name: source.name.as_str().into(),
            pipeline,
        };
        kernels.insert(source.name.clone(), kernel.clone());
        kernel
    }

    /// Submits the dispatches as one pass, in order, and waits for their end.
    ///
    /// Errors: whatever the device complained of since the last wait.
    pub async fn run<'a>(
        &self,
        dispatches: impl IntoIterator<Item = &'a Dispatch>,
    ) -> Result<Took, Error> {
        let stamps = self.timestamps.as_ref();
        let [begun, ended] = self
            .submit(dispatches, (&self.end_source, &self.end, 4), stamps)
            .await?;
        self.end.unmap();
        let device_s = match stamps {
            Some(t) => {
                self.map(&t.read, 16).await?;
                // Timestamps may be absent (0) or go backwards: then there are none.
                match mapped::<u64>(&t.read, 2)?[..] {
                    [first, last] if last > first => {
                        Some((last - first) as f64 * t.period_ns * 1e-9)
                    }
                    _ => None,
                }
            }
            None => None,
        };
        Ok(Took {
            wall_s: ended.duration_since(begun).as_secs_f64(),
            device_s,
        })
    }

    /// The same, and reads the first `count` words of a buffer in the same breath. Says when the work was submitted
    /// and when the words were here.
    pub async fn run_and_read<'a>(
        &self,
        dispatches: impl IntoIterator<Item = &'a Dispatch>,
        buffer: &wgpu::Buffer,
        count: usize,
    ) -> Result<(Vec<u32>, [Instant; 2]), Error> {
        let bytes = (count as u64 * 4).clamp(4, self.words.size());
        let copied = (buffer, &self.words, bytes);
        let when = self.submit(dispatches, copied, None).await?;
        Ok((mapped(&self.words, count)?, when))
    }

    /// Runs dispatches, copies so many bytes of `wanted` to `to`, which is mapped then, and says when they were
    /// submitted and when it was.
    async fn submit<'a>(
        &self,
        dispatches: impl IntoIterator<Item = &'a Dispatch>,
        (wanted, to, bytes): (&wgpu::Buffer, &wgpu::Buffer, u64),
        stamps: Option<&Timestamps>,
    ) -> Result<[Instant; 2], Error> {
        let mut encoder = self.device.create_command_encoder(&Default::default());
        let timestamp_writes = stamps.map(|t| wgpu::ComputePassTimestampWrites {
            query_set: &t.set,
            beginning_of_pass_write_index: Some(0),
            end_of_pass_write_index: Some(1),
        });
        {
            let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor {
                label: None,
                timestamp_writes,
            });
            for dispatch in dispatches {
                pass.set_pipeline(&dispatch.kernel.pipeline);
                pass.set_bind_group(0, &*dispatch.bindings, &[]);
                let [x, y, z] = dispatch.workgroups;
                pass.dispatch_workgroups(x, y, z);
            }
        }
        if let Some(t) = stamps {
            encoder.resolve_query_set(&t.set, 0..2, &t.resolved, 0);
            encoder.copy_buffer_to_buffer(&t.resolved, 0, &t.read, 0, 16);
        }
        encoder.copy_buffer_to_buffer(wanted, 0, to, 0, bytes);
        let commands = encoder.finish();
        let begun = Instant::now();
        self.queue.submit([commands]);
        let ended = self.map(to, bytes).await?;
        Ok([begun, ended])
    }

    /// Waits until a buffer is mapped and all work before it done; says when that was.
    async fn map(&self, buffer: &wgpu::Buffer, bytes: u64) -> Result<Instant, Error> {
        let (tell, mut told) = oneshot::channel();
        buffer.map_async(wgpu::MapMode::Read, ..bytes, move |result| {
            // Nobody listens where the wait was given up.
            let _ = tell.send((Instant::now(), result));
        });
        self.wait(&mut told).await
    }

    #[cfg(not(target_arch = "wasm32"))]
    async fn wait(
        &self,
        told: &mut oneshot::Receiver<(Instant, Result<(), wgpu::BufferAsyncError>)>,
    ) -> Result<Instant, Error> {
        let waited = self.device.poll(wgpu::PollType::Wait {
            submission_index: None,
            timeout: Some(PATIENCE),
        });
        self.healthy()?;
        waited
            .map_err(|e| gpu_error("gpu-refused", format!("waiting for the device failed: {e}")))?;
        match told.try_recv() {
            Ok(Some((when, Ok(())))) => Ok(when),
            Ok(Some((_, Err(e)))) => Err(gpu_error("gpu-refused", e.to_string())),
            _ => Err(gpu_error("gpu-refused", "the device gave no answer")),
        }
    }

    #[cfg(target_arch = "wasm32")]
    async fn wait(
        &self,
        told: &mut oneshot::Receiver<(Instant, Result<(), wgpu::BufferAsyncError>)>,
    ) -> Result<Instant, Error> {
        use futures_util::future::{Either, select};
        let begun = Instant::now();
        loop {
            let pause = gloo_timers::future::TimeoutFuture::new(HURRY_MS);
            match select(&mut *told, pause).await {
                Either::Left((answer, _)) => {
                    self.healthy()?;
                    return match answer {
                        Ok((when, Ok(()))) => Ok(when),
                        Ok((_, Err(e))) => Err(gpu_error("gpu-refused", e.to_string())),
                        Err(_) => Err(gpu_error("gpu-refused", "the device gave no answer")),
                    };
                }
                Either::Right(_) => {
                    self.healthy()?;
                    if begun.elapsed() > PATIENCE {
                        return Err(gpu_error("gpu-refused", "the device gave no answer"));
                    }
                    // Firefox looks for finished work every 100 ms, and whenever more is submitted.
                    self.queue.submit([]);
                }
            }
        }
    }

    /// What the device complained of, if it did.
    fn healthy(&self) -> Result<(), Error> {
        if let Some(why) = lock(&self.problems.lost).clone() {
            return Err(gpu_error(
                "device-lost",
                format!("the GPU was lost in the middle of the work ({why})"),
            ));
        }
        match lock(&self.problems.error).take() {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }
}

/// The first numbers of a mapped buffer, which is unmapped.
fn mapped<T: bytemuck::Pod>(buffer: &wgpu::Buffer, count: usize) -> Result<Vec<T>, Error> {
    let bytes = count * size_of::<T>();
    let numbers = {
        let view = buffer
            .slice(..(bytes as u64).next_multiple_of(4).max(4))
            .get_mapped_range();
        let view = view.map_err(|e| gpu_error("gpu-refused", e.to_string()))?;
        bytemuck::pod_collect_to_vec(&view[..bytes])
    };
    buffer.unmap();
    Ok(numbers)
}

const READABLE: wgpu::BufferUsages =
    wgpu::BufferUsages::MAP_READ.union(wgpu::BufferUsages::COPY_DST);
/// Words that come back with a submission at most.
const MOST_WORDS: u64 = 256;
/// Longest wait for one submission: drivers reset a device long before.
const PATIENCE: Duration = Duration::from_secs(60);
/// Wait for a browser's answer before it is hurried.
#[cfg(target_arch = "wasm32")]
const HURRY_MS: u32 = 20;

/// What to say where an adapter is not there, of `count` that are.
pub(crate) fn missing(number: Option<usize>, count: usize) -> Error {
    let problem = match number {
        Some(number) if count > 0 => format!(
            "there is no adapter {number}; allowed is 0 to {} (`batchscope adapters` lists them)",
            count - 1
        ),
        _ => no_adapter().to_owned(),
    };
    gpu_error("no-adapter", problem)
}

fn no_adapter() -> &'static str {
    if cfg!(target_arch = "wasm32") {
        "this browser offers WebGPU but found no GPU for it; a newer graphics driver, or another \
         browser, may"
    } else {
        "no driver for Vulkan, Metal or Direct3D 12 was found; install the graphics driver, or a \
         software one such as Mesa's lavapipe to try the program out"
    }
}

/// A complaint of the device as an error of ours.
fn said(error: &wgpu::Error) -> Error {
    match error {
        wgpu::Error::OutOfMemory { .. } => gpu_error(
            "out-of-gpu-memory",
            "the GPU's memory is full; choose a smaller model or fewer bits per weight",
        ),
        other => gpu_error(
            "gpu-refused",
            format!("the device refused the work: {other}"),
        ),
    }
}

async fn request(
    adapter: &wgpu::Adapter,
    required_features: wgpu::Features,
    required_limits: wgpu::Limits,
) -> Result<(wgpu::Device, wgpu::Queue), wgpu::RequestDeviceError> {
    adapter
        .request_device(&wgpu::DeviceDescriptor {
            label: Some("batchscope"),
            required_features,
            required_limits,
            experimental_features: wgpu::ExperimentalFeatures::disabled(),
            memory_hints: wgpu::MemoryHints::Performance,
            trace: wgpu::Trace::Off,
        })
        .await
}

impl Timestamps {
    fn new(device: &wgpu::Device, period_ns: f32) -> Timestamps {
        let buffer = |usage| {
            device.create_buffer(&wgpu::BufferDescriptor {
                label: Some("timestamps"),
                size: 16,
                usage,
                mapped_at_creation: false,
            })
        };
        Timestamps {
            set: device.create_query_set(&wgpu::QuerySetDescriptor {
                label: Some("timestamps"),
                ty: wgpu::QueryType::Timestamp,
                count: 2,
            }),
            resolved: buffer(wgpu::BufferUsages::QUERY_RESOLVE | wgpu::BufferUsages::COPY_SRC),
            read: buffer(wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST),
            period_ns: f64::from(period_ns),
        }
    }
}
