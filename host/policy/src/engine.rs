//! The engine that all policies share, and the thread that advances its epoch.

use std::thread;

use wasmtime::{Config, Engine, InstanceAllocationStrategy, PoolingAllocationConfig, component::Linker};

use crate::{bindings::ComponentPolicy, limits::*, state::CallState};

/// The sandbox's engine and linker. Cheap to clone.
#[derive(Clone)]
pub struct Runtime {
    pub(crate) engine: Engine,
    pub(crate) linker: Linker<CallState>,
}

impl Runtime {
    /// Starts the engine and its epoch thread, which ends when the last clone of the engine is gone.
    ///
    /// # Errors
    /// When the pool's address space cannot be reserved or the thread cannot be started.
    pub fn new() -> wasmtime::Result<Self> {
        let engine = Engine::new(&config())?;
        let mut linker = Linker::new(&engine);
        ComponentPolicy::add_to_linker::<_, wasmtime::component::HasSelf<_>>(&mut linker, |state: &mut CallState| {
            state
        })?;
        start_epochs(&engine)?;
        Ok(Self { engine, linker })
    }
}

/// Deterministic by construction: no threads, canonical NaNs, no relaxed SIMD, fuel instead of time.
fn config() -> Config {
    let mut config = Config::new();
    config
        .consume_fuel(true)
        .epoch_interruption(true)
        .cranelift_nan_canonicalization(true)
        .wasm_relaxed_simd(false)
        .wasm_component_model(true)
        .max_wasm_stack(STACK_BYTES_MAX)
        .memory_init_cow(true)
        .allocation_strategy(InstanceAllocationStrategy::Pooling(pool()));
    config
}

fn pool() -> PoolingAllocationConfig {
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(CONCURRENT_CALLS_MAX)
        .total_core_instances(CONCURRENT_CALLS_MAX * CORE_INSTANCES_PER_COMPONENT_MAX)
        .total_memories(CONCURRENT_CALLS_MAX * MEMORIES_PER_COMPONENT_MAX)
        .total_tables(CONCURRENT_CALLS_MAX * MEMORIES_PER_COMPONENT_MAX)
        .max_core_instances_per_component(CORE_INSTANCES_PER_COMPONENT_MAX)
        .max_memories_per_component(MEMORIES_PER_COMPONENT_MAX)
        .max_tables_per_component(MEMORIES_PER_COMPONENT_MAX)
        .max_component_instance_size(1 << 20)
        .max_core_instance_size(512 << 10)
        .table_elements(TABLE_ELEMENTS_MAX)
        .max_memory_size(MEMORY_BYTES_MAX)
        .linear_memory_keep_resident(RESIDENT_BYTES_MAX)
        .table_keep_resident(8 << 10)
        .pagemap_scan(wasmtime::Enabled::Auto);
    pool
}

fn start_epochs(engine: &Engine) -> std::io::Result<()> {
    let engine = engine.weak();
    thread::Builder::new().name("policy-epochs".into()).spawn(move || {
        while let Some(engine) = engine.upgrade() {
            engine.increment_epoch();
            drop(engine);
            thread::sleep(EPOCH_TICK);
        }
    })?;
    Ok(())
}
