//! Components as large as may be, full of one thing: what an upload can have the checks read before anything is refused.
//! Where there is a bound on a thing, it has as many as there may be; where there is none, as many as fit.

use wasm_encoder::{
    Alias, CodeSection, Component, ComponentAliasSection, ComponentOuterAliasKind, ComponentSection,
    ComponentTypeSection, ComponentValType, ConstExpr, DataSection, ElementSection, Elements, ExportKind,
    ExportSection, Function, FunctionSection, GlobalSection, GlobalType, HeapType, Instruction, MemorySection, Module,
    ModuleSection, NestedComponentSection, PrimitiveValType, RefType, TypeSection, ValType,
};

use hookbox::settings::ModuleSettings;

use super::{memory, with};
use crate::bad_modules::{ECHO, bytes};

/// Functions of one component; some are the good neighbour's.
const FUNCTIONS: usize = 90_000;
/// Modules in one component, or components; some are the good neighbour's.
const NESTED: usize = 80;
/// Modules with a memory of their own.
const DATA_MODULES: usize = 12;
/// Types of one component; some are the good neighbour's.
const TYPES: usize = 18_000;

/// What there is so much of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Full {
    /// One data segment.
    Data,
    /// Functions of instructions of one byte that the validator has to follow.
    Instructions,
    /// Functions of empty blocks.
    Blocks,
    /// Functions of calls.
    Calls,
    /// Locals declared one by one, in turn of two types.
    Locals,
    /// Types of functions with many parameters.
    Types,
    /// Records of many fields.
    Records,
    /// Global variables.
    Globals,
    /// Element segments of the numbers of functions.
    Elements,
    /// Element segments of expressions.
    ElementExpressions,
    /// Data segments of nothing, each with an expression of where it goes.
    DataSegments,
    /// Second names for one type of the component around.
    Aliases,
    /// Exports with names as long as may be.
    Names,
}

impl Full {
    /// All of them.
    pub const ALL: [Self; 13] = [
        Self::Data,
        Self::Instructions,
        Self::Blocks,
        Self::Calls,
        Self::Locals,
        Self::Types,
        Self::Records,
        Self::Globals,
        Self::Elements,
        Self::ElementExpressions,
        Self::DataSegments,
        Self::Aliases,
        Self::Names,
    ];

    /// How much of it there may be, within all bounds, the good neighbour included.
    pub fn most(self, settings: &ModuleSettings) -> usize {
        let most = match self {
            Self::Data => return self.whole(settings),
            Self::Instructions | Self::Blocks | Self::Calls | Self::Locals => settings.code_bytes_max,
            _ => settings.declared_bytes_max,
        };
        bytes(ECHO).len() + usize::try_from(most).unwrap_or(usize::MAX)
    }

    /// As large as any component may be.
    pub fn whole(self, settings: &ModuleSettings) -> usize {
        usize::try_from(settings.component_bytes_max).unwrap_or(usize::MAX)
    }

    /// The good neighbour and so much of it that both have almost `size` bytes.
    pub fn of(self, size: usize) -> Vec<u8> {
        // Some room for the heads of sections.
        let room = size - bytes(ECHO).len() - 64 * 1024;
        match self {
            Self::Data => with_modules(1, |module| {
                module.section(&one_memory());
                module.section(DataSection::new().active(0, &ConstExpr::i32_const(0), vec![7; room]));
            }),
            // After `unreachable`, an addition may take what is not there.
            Self::Instructions => with_functions(room, 0, |body, length| {
                body.instruction(&Instruction::Unreachable).raw(std::iter::repeat_n(0x6a, length));
                body.instruction(&Instruction::Drop);
            }),
            Self::Blocks => with_functions(room, 0, |body, length| {
                body.raw([0x02, 0x40, 0x0b].into_iter().cycle().take(length / 3 * 3));
            }),
            Self::Calls => with_functions(room, 0, |body, length| {
                body.raw([0x10, 0x00].into_iter().cycle().take(length / 2 * 2));
            }),
            Self::Locals => with_functions(room, (room / FUNCTIONS - 16) / 2, |_, _| {}),
            Self::Types => with_modules(1, |module| {
                let mut types = TypeSection::new();
                let parameters = (room / TYPES).min(1000);
                for number in 0..TYPES {
                    // Each another one, as far as its last sixteen parameters tell.
                    let last = (0..16).map(|bit| if number >> bit & 1 == 0 { ValType::I32 } else { ValType::F64 });
                    let first = std::iter::repeat_n(ValType::I64, parameters - 16);
                    types.ty().function(first.chain(last).collect::<Vec<_>>(), []);
                }
                module.section(&types);
            }),
            Self::Records => {
                let mut types = ComponentTypeSection::new();
                let field = "f000".len() + 2;
                let fields = (room / TYPES / field).min(1000);
                let names: Vec<_> = (0..fields).map(|number| format!("f{number:03}")).collect();
                let u8 = ComponentValType::Primitive(PrimitiveValType::U8);
                for _ in 0..TYPES {
                    types.defined_type().record(names.iter().map(|name| (name.as_str(), u8)));
                }
                with(&[&types])
            }
            Self::Globals => with_modules(NESTED, |module| {
                let mut globals = GlobalSection::new();
                let ty = GlobalType { val_type: ValType::I32, mutable: false, shared: false };
                for _ in 0..room / NESTED / 5 {
                    globals.global(ty, &ConstExpr::i32_const(0));
                }
                module.section(&globals);
            }),
            Self::Elements => with_modules(NESTED, |module| {
                let mut types = TypeSection::new();
                types.ty().function([], []);
                let items = vec![0; room / NESTED];
                let mut body = Function::new([]);
                body.instruction(&Instruction::End);
                module.section(&types).section(FunctionSection::new().function(0));
                module.section(ElementSection::new().passive(Elements::Functions(items.into())));
                module.section(CodeSection::new().function(&body));
            }),
            Self::ElementExpressions => with_modules(NESTED, |module| {
                let items = vec![ConstExpr::ref_null(HeapType::FUNC); room / NESTED / 3];
                let items = Elements::Expressions(RefType::FUNCREF, items.into());
                module.section(ElementSection::new().passive(items));
            }),
            Self::DataSegments => with_modules(DATA_MODULES, |module| {
                module.section(&one_memory());
                let mut data = DataSection::new();
                for _ in 0..(room / DATA_MODULES / 5).min(100_000) {
                    data.active(0, &ConstExpr::i32_const(0), []);
                }
                module.section(&data);
            }),
            Self::Aliases => {
                let (mut outer, mut types) = (Component::new(), ComponentTypeSection::new());
                types.defined_type().primitive(PrimitiveValType::U8);
                outer.section(&types);
                let mut aliases = ComponentAliasSection::new();
                for _ in 0..room / NESTED / 4 {
                    aliases.alias(Alias::Outer { kind: ComponentOuterAliasKind::Type, count: 1, index: 0 });
                }
                let mut inner = Component::new();
                inner.section(&aliases);
                for _ in 0..NESTED {
                    outer.section(&NestedComponentSection(&inner));
                }
                with(&[&NestedComponentSection(&outer)])
            }
            Self::Names => with_modules(1, |module| {
                const NAME_BYTES: usize = 99_000;
                module.section(&one_memory());
                let (mut exports, rest) = (ExportSection::new(), "x".repeat(NAME_BYTES - 8));
                for number in 0..room / (NAME_BYTES + 8) {
                    exports.export(&format!("{number:08}{rest}"), ExportKind::Memory, 0);
                }
                module.section(&exports);
            }),
        }
    }
}

/// The good neighbour and so many modules, all of them this one.
fn with_modules(count: usize, fill: impl FnOnce(&mut Module)) -> Vec<u8> {
    let mut module = Module::new();
    fill(&mut module);
    let section = ModuleSection(&module);
    with(&(0..count).map(|_| &section as &dyn ComponentSection).collect::<Vec<_>>())
}

/// The good neighbour and a module with many functions, each with so many locals and a body that takes its part of `room`.
fn with_functions(room: usize, locals: usize, fill: impl FnOnce(&mut Function, usize)) -> Vec<u8> {
    let locals: Vec<_> = [ValType::I32, ValType::I64].into_iter().cycle().take(locals).map(|ty| (1, ty)).collect();
    let length = (room / FUNCTIONS).saturating_sub(2 * locals.len() + 12);
    let mut body = Function::new(locals);
    fill(&mut body, length);
    body.instruction(&Instruction::End);
    with_modules(1, |module| {
        let (mut types, mut functions, mut code) = (TypeSection::new(), FunctionSection::new(), CodeSection::new());
        types.ty().function([], []);
        for _ in 0..FUNCTIONS {
            functions.function(0);
            code.function(&body);
        }
        module.section(&types).section(&functions).section(&code);
    })
}

fn one_memory() -> MemorySection {
    let mut memories = MemorySection::new();
    memories.memory(memory(1));
    memories
}
