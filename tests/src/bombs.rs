//! Components made byte by byte, of shapes that no compiler of a language gives: small, valid as a rule, and dear for who
//! compiles, checks or instantiates them. All but the smallest are the good neighbour ([`ECHO`]) with something added to
//! it, so that nothing else is wrong with them.

pub mod full;

use wasm_encoder::{
    BlockType, CodeSection, Component, ComponentSection, ComponentTypeSection, ComponentValType, CustomSection,
    EntityType, Function, FunctionSection, ImportSection, InstanceSection, Instruction, MemorySection, MemoryType,
    Module, ModuleArg, ModuleSection, NestedComponentSection, RefType, StartSection, TableSection, TableType,
    TypeSection, ValType,
};

use crate::bad_modules::{ECHO, bytes};

/// What a core module does when it is instantiated.
#[derive(Clone, Copy, Debug)]
pub enum AtStart {
    /// Loops for ever.
    Loops,
    /// Traps.
    Traps,
    /// Calls itself for ever.
    Recurses,
    /// Takes memory until it gets no more, then traps.
    TakesMemory,
    /// Takes places in a table until it gets no more, then traps.
    TakesTable,
}

/// The good neighbour and a module in it that does this when it is instantiated.
pub fn at_start(what: AtStart) -> Vec<u8> {
    let mut module = Module::new();
    let mut types = TypeSection::new();
    types.ty().function([], []);
    module.section(&types).section(FunctionSection::new().function(0));
    module.section(TableSection::new().table(table(1)));
    module.section(MemorySection::new().memory(memory(1)));
    module.section(&StartSection { function_index: 0 });
    let mut body = Function::new([]);
    match what {
        AtStart::Loops => {
            body.instruction(&Instruction::Loop(BlockType::Empty));
            body.instruction(&Instruction::Br(0)).instruction(&Instruction::End);
        }
        AtStart::Traps => {
            body.instruction(&Instruction::Unreachable);
        }
        AtStart::Recurses => {
            body.instruction(&Instruction::Call(0));
        }
        AtStart::TakesMemory => {
            until_refused(&mut body, &[Instruction::I32Const(16), Instruction::MemoryGrow(0)]);
        }
        AtStart::TakesTable => {
            let heap = wasm_encoder::HeapType::FUNC;
            let grow = [Instruction::RefNull(heap), Instruction::I32Const(1000), Instruction::TableGrow(0)];
            until_refused(&mut body, &grow);
        }
    }
    body.instruction(&Instruction::End);
    module.section(CodeSection::new().function(&body));
    let mut instances = InstanceSection::new();
    // The neighbour has core modules of its own before it.
    instances.instantiate(core_modules(&bytes(ECHO)), Vec::<(&str, ModuleArg)>::new());
    with(&[&ModuleSection(&module), &instances])
}

/// Repeats what leaves -1 when it is refused, then traps.
fn until_refused(body: &mut Function, grow: &[Instruction<'_>]) {
    body.instruction(&Instruction::Loop(BlockType::Empty));
    for instruction in grow {
        body.instruction(instruction);
    }
    body.instruction(&Instruction::I32Const(-1)).instruction(&Instruction::I32Ne);
    body.instruction(&Instruction::BrIf(0)).instruction(&Instruction::End).instruction(&Instruction::Unreachable);
}

/// One function with so many locals.
pub fn locals(count: u32) -> Vec<u8> {
    with_function(1, &{
        let mut body = Function::new([(count, ValType::I64)]);
        body.instruction(&Instruction::End);
        body
    })
}

/// One function with a body of so many bytes.
pub fn function_of(body_bytes: usize) -> Vec<u8> {
    with_function(1, &{
        let mut body = Function::new([]);
        body.raw(std::iter::repeat_n(0x01, body_bytes)).instruction(&Instruction::End);
        body
    })
}

/// So many functions.
pub fn functions(count: u32) -> Vec<u8> {
    with_function(count, &{
        let mut body = Function::new([]);
        body.instruction(&Instruction::End);
        body
    })
}

/// So many functions of so many blocks, each of which writes to one of so many locals: what it costs to find out which
/// value a local has where grows with both.
pub fn blocks(functions: u32, blocks: u32, locals: u32) -> Vec<u8> {
    let mut body = Function::new([(locals, ValType::I64)]);
    body.instruction(&Instruction::Loop(BlockType::Empty));
    for block in 0..blocks {
        let (from, to) = (block % locals, (block.wrapping_mul(7) + 1) % locals);
        body.instruction(&Instruction::LocalGet(from)).instruction(&Instruction::I32WrapI64);
        body.instruction(&Instruction::If(BlockType::Empty));
        body.instruction(&Instruction::LocalGet(from)).instruction(&Instruction::LocalSet(to));
        body.instruction(&Instruction::End);
    }
    body.instruction(&Instruction::LocalGet(0)).instruction(&Instruction::I32WrapI64);
    body.instruction(&Instruction::BrIf(0)).instruction(&Instruction::End).instruction(&Instruction::End);
    with_function(functions, &body)
}

/// A component that keeps the compiler busy for seconds and is within every bound, another one for every note.
pub fn dear_to_compile(note: &str) -> Vec<u8> {
    let mut component = blocks(300, 400, 120);
    let section = CustomSection { name: "note".into(), data: note.as_bytes().into() };
    component.push(ComponentSection::id(&section));
    wasm_encoder::Encode::encode(&section, &mut component);
    component
}

/// A branch table with so many targets.
pub fn branch_table(targets: usize) -> Vec<u8> {
    with_function(1, &{
        let mut body = Function::new([]);
        body.instruction(&Instruction::I32Const(0));
        body.instruction(&Instruction::BrTable(vec![0; targets].into(), 0)).instruction(&Instruction::End);
        body
    })
}

/// A list of lists of … so deep.
pub fn deep_types(depth: u32) -> Vec<u8> {
    let mut types = ComponentTypeSection::new();
    let first = component_types(&bytes(ECHO));
    for level in 0..depth {
        let inner = match level {
            0 => ComponentValType::Primitive(wasm_encoder::PrimitiveValType::U8),
            _ => ComponentValType::Type(first + level - 1),
        };
        types.defined_type().list(inner);
    }
    with(&[&types])
}

/// Declarations of component types written in each other so deep: a byte or two a level.
pub fn nested_declarations(depth: usize) -> Vec<u8> {
    // A component type (0x41) of one declaration (1), which is a type (1), and so on; the innermost has none.
    let mut section = vec![1];
    for _ in 1..depth {
        section.extend([0x41, 1, 1]);
    }
    section.extend([0x41, 0]);
    let mut component = bytes(ECHO);
    component.push(7);
    component.extend(leb(section.len()));
    component.extend(section);
    component
}

/// Components nested so deep.
pub fn nested_components(depth: u32) -> Vec<u8> {
    let mut inner = Component::new();
    for _ in 1..depth {
        let mut outer = Component::new();
        outer.section(&NestedComponentSection(&inner));
        inner = outer;
    }
    with(&[&NestedComponentSection(&inner)])
}

/// So many modules beside each other.
pub fn nested_modules(count: u32) -> Vec<u8> {
    let module = Module::new();
    let section = ModuleSection(&module);
    with(&(0..count).map(|_| &section as &dyn ComponentSection).collect::<Vec<_>>())
}

/// A module with so many memories of this many pages of 64 KiB.
pub fn memories(count: u32, pages: u64) -> Vec<u8> {
    let mut module = Module::new();
    let mut memories = MemorySection::new();
    for _ in 0..count {
        memories.memory(memory(pages));
    }
    module.section(&memories);
    with(&[&ModuleSection(&module)])
}

/// A module with so many tables of this many places.
pub fn tables(count: u32, places: u64) -> Vec<u8> {
    let mut module = Module::new();
    let mut tables = TableSection::new();
    for _ in 0..count {
        tables.table(table(places));
    }
    module.section(&tables);
    with(&[&ModuleSection(&module)])
}

/// A module with so many types.
pub fn types(count: u32) -> Vec<u8> {
    let mut module = Module::new();
    let mut types = TypeSection::new();
    for _ in 0..count {
        types.ty().function([ValType::I32], []);
    }
    module.section(&types);
    with(&[&ModuleSection(&module)])
}

/// A module with so many imports.
pub fn imports(count: u32) -> Vec<u8> {
    let mut module = Module::new();
    let mut types = TypeSection::new();
    types.ty().function([], []);
    let mut imports = ImportSection::new();
    for number in 0..count {
        imports.import("m", &number.to_string(), EntityType::Function(0));
    }
    module.section(&types).section(&imports);
    with(&[&ModuleSection(&module)])
}

/// With so many bytes of debug information.
pub fn debug_information(size: usize) -> Vec<u8> {
    with(&[&CustomSection { name: ".debug_info".into(), data: vec![0; size].into() }])
}

/// As many bytes as there can be, all of them one custom section.
pub fn padded_to(size: usize) -> Vec<u8> {
    let there = bytes(ECHO).len() + 16;
    with(&[&CustomSection { name: "pad".into(), data: vec![0; size.saturating_sub(there)].into() }])
}

/// What an engine of this machine has made of the good neighbour.
pub fn compiled_code() -> Vec<u8> {
    let engine = hookbox::module::engine::compiling_engine().unwrap_or_else(|error| panic!("no engine: {error:#}"));
    engine.precompile_component(&bytes(ECHO)).unwrap_or_else(|error| panic!("it does not compile: {error:#}"))
}

/// The good neighbour and these sections behind its own.
fn with(sections: &[&dyn ComponentSection]) -> Vec<u8> {
    let mut component = bytes(ECHO);
    for section in sections {
        component.push(section.id());
        section.encode(&mut component);
    }
    component
}

/// The good neighbour and a module of so many functions of this body.
fn with_function(count: u32, body: &Function) -> Vec<u8> {
    let mut module = Module::new();
    let (mut types, mut functions, mut code) = (TypeSection::new(), FunctionSection::new(), CodeSection::new());
    types.ty().function([], []);
    for _ in 0..count {
        functions.function(0);
        code.function(body);
    }
    module.section(&types).section(&functions).section(&code);
    with(&[&ModuleSection(&module)])
}

fn memory(pages: u64) -> MemoryType {
    MemoryType { minimum: pages, maximum: None, memory64: false, shared: false, page_size_log2: None }
}

fn table(places: u64) -> TableType {
    TableType { element_type: RefType::FUNCREF, table64: false, minimum: places, maximum: None, shared: false }
}

fn core_modules(component: &[u8]) -> u32 {
    let top = |payload: &wasmparser::Payload<'_>| matches!(payload, wasmparser::Payload::ModuleSection { .. });
    count(component, |payload| u32::from(top(payload)))
}

fn component_types(component: &[u8]) -> u32 {
    use wasmparser::{ComponentAlias, ComponentExternalKind, ComponentTypeRef, Payload};
    count(component, |payload| match payload {
        Payload::ComponentTypeSection(types) => types.count(),
        Payload::ComponentImportSection(imports) => {
            let types = imports.clone().into_iter().flatten();
            types.filter(|import| matches!(import.ty, ComponentTypeRef::Type(_))).count() as u32
        }
        Payload::ComponentExportSection(exports) => {
            let types = exports.clone().into_iter().flatten();
            types.filter(|export| export.kind == ComponentExternalKind::Type).count() as u32
        }
        Payload::ComponentAliasSection(aliases) => {
            let is_type = |alias: &ComponentAlias<'_>| {
                matches!(
                    alias,
                    ComponentAlias::InstanceExport { kind: ComponentExternalKind::Type, .. }
                        | ComponentAlias::Outer { kind: wasmparser::ComponentOuterAliasKind::Type, .. }
                )
            };
            aliases.clone().into_iter().flatten().filter(is_type).count() as u32
        }
        _ => 0,
    })
}

/// Sums over the component's own sections, not over what is nested in it.
fn count(component: &[u8], of: impl Fn(&wasmparser::Payload<'_>) -> u32) -> u32 {
    use wasmparser::Payload;
    let (mut depth, mut sum) = (0, 0);
    for payload in wasmparser::Parser::new(0).parse_all(component) {
        let payload = payload.unwrap_or_else(|error| panic!("the good neighbour is broken: {error}"));
        sum += if depth == 0 { of(&payload) } else { 0 };
        match payload {
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth -= 1,
            _ => {}
        }
    }
    sum
}

fn leb(mut value: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value >= 0x80 {
        bytes.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}
