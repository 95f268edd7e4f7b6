//! How large a component is in every way that costs the compiler something, and whether it is within the bounds.
//!
//! Counted first, each count held to its bound as soon as it is known; only then the whole is validated by the engine's own
//! rules, so that the compiler is never given what is not WebAssembly. Validation is left to the library as a whole: taken
//! instruction by instruction from here, it takes many times as long.

mod depth;

use serde::Serialize;
use wasmparser::{
    BinaryReaderError, CompositeInnerType, FunctionBody, FunctionSectionReader, Operator, Parser, Payload,
    SectionLimitedIntoIter, TypeSectionReader, Validator,
};

use self::depth::Depths;
use crate::{module::engine, settings::ModuleSettings};

/// What stands before the bytes of a data segment takes about so much.
const DATA_HEAD_BYTES: u64 = 5;

/// A component, counted. What is nested in it is counted with it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Shape {
    /// Modules and components in it.
    pub nested: u64,
    /// How deep they are nested.
    pub nesting: u64,
    /// Bytes of all functions together.
    pub code_bytes: u64,
    /// Bytes of all that is declared: types, imports, globals, elements, names of exports, …; neither code nor data.
    pub declared_bytes: u64,
    /// Functions with a body.
    pub functions: u64,
    /// Bytes of the largest function.
    pub function_bytes: u64,
    /// Locals of the function that has most, parameters included.
    pub locals: u64,
    /// Locals times blocks of the function where that is most: what the compiler's memory grows with.
    pub function_weight: u64,
    /// Targets of branch tables in the function that has most.
    pub branch_targets: u64,
    /// Types.
    pub types: u64,
    /// How deep types are built of types.
    pub type_depth: u64,
    /// Imports and exports.
    pub ports: u64,
    /// Memories.
    pub memories: u64,
    /// Tables.
    pub tables: u64,
    /// Bytes of names and debug information, which nobody reads here.
    pub debug_bytes: u64,
}

/// Why a component is not compiled.
#[derive(Debug, PartialEq, Eq)]
pub enum Unfit {
    /// It is broken, or breaks WebAssembly's rules.
    Invalid(String),
    /// There is more of something than is taken.
    Excess(String),
}

impl From<BinaryReaderError> for Unfit {
    fn from(error: BinaryReaderError) -> Self {
        let said = error.message();
        let cut = if said.starts_with("unexpected end") { "it is cut off, or broken: " } else { "" };
        let is_async = said.contains("component model async");
        let remedy = if is_async { "; build it without async (for componentize-qjs: --sync)" } else { "" };
        Self::Invalid(format!("{cut}{error}{remedy}"))
    }
}

/// Counts and validates the component.
pub fn measure(component: &[u8], settings: &ModuleSettings) -> Result<Shape, Unfit> {
    let mut pass = Pass { settings, shape: Shape::default(), open: vec![Open::default()] };
    for payload in Parser::new(0).parse_all(component) {
        pass.count(&payload?)?;
    }
    Validator::new_with_features(engine::features()).validate_all(component)?;
    Ok(pass.shape)
}

struct Pass<'s, 'c> {
    settings: &'s ModuleSettings,
    shape: Shape,
    /// The component, and what is open in it, the innermost last.
    open: Vec<Open<'c>>,
}

/// A component or a core module whose sections are being read.
#[derive(Default)]
struct Open<'c> {
    depths: Depths,
    /// How many parameters each core type has.
    parameters: Vec<u64>,
    /// Of which type each function is whose body is still to come.
    functions: Option<SectionLimitedIntoIter<'c, u32>>,
}

impl<'c> Pass<'_, 'c> {
    fn count(&mut self, payload: &Payload<'c>) -> Result<(), Unfit> {
        self.bytes(payload)?;
        let (bounds, shape) = (self.settings, &mut self.shape);
        match payload {
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => {
                self.open.push(Open::default());
                let nesting = self.open.len() as u64 - 1;
                shape.nesting = shape.nesting.max(nesting);
                within("is nested", nesting, "levels deep", "modules.nesting_max", bounds.nesting_max)?;
                shape.nested += 1;
                within("has", shape.nested, "modules and components in it", "modules.nested_max", bounds.nested_max)?;
            }
            Payload::End(_) => drop(self.open.pop()),
            Payload::CodeSectionStart { count, .. } => {
                shape.functions += u64::from(*count);
                within("has", shape.functions, "functions", "modules.functions_max", bounds.functions_max)?;
            }
            Payload::CodeSectionEntry(body) => {
                let bytes = body.range().end.saturating_sub(body.range().start);
                shape.function_bytes = shape.function_bytes.max(bytes);
                within("has a function of", bytes, "bytes", "modules.function_bytes_max", bounds.function_bytes_max)?;
                self.function(body)?;
            }
            Payload::TypeSection(types) => {
                self.types(u64::from(types.count()))?;
                self.parameters(types)?;
            }
            Payload::FunctionSection(functions) => {
                if let Some(open) = self.open.last_mut() {
                    open.functions = Some(FunctionSectionReader::clone(functions).into_iter());
                }
            }
            Payload::CoreTypeSection(types) => self.types(u64::from(types.count()))?,
            Payload::ComponentTypeSection(types) => {
                for ty in types.clone() {
                    let Some(Open { depths, .. }) = self.open.last_mut() else { continue };
                    let (types, depth) = depths.add(&ty?);
                    self.types(types)?;
                    self.shape.type_depth = self.shape.type_depth.max(depth);
                    within("has types", depth, "levels deep", "modules.type_depth_max", bounds.type_depth_max)?;
                }
            }
            Payload::ComponentAliasSection(aliases) => {
                let Some((inner, outer)) = self.open.split_last_mut() else { return Ok(()) };
                let outer: Vec<&Depths> = outer.iter().map(|open| &open.depths).collect();
                for alias in aliases.clone() {
                    inner.depths.alias(&alias?, &outer);
                }
            }
            Payload::ImportSection(imports) => self.ports(u64::from(imports.count()))?,
            Payload::ExportSection(exports) => self.ports(u64::from(exports.count()))?,
            Payload::ComponentImportSection(imports) => {
                self.ports(u64::from(imports.count()))?;
                for import in imports.clone() {
                    let ty = import?.ty;
                    if let Some(Open { depths, .. }) = self.open.last_mut() {
                        depths.named(&ty);
                    }
                }
            }
            Payload::ComponentExportSection(exports) => {
                self.ports(u64::from(exports.count()))?;
                for export in exports.clone() {
                    let export = export?;
                    if let Some(Open { depths, .. }) = self.open.last_mut() {
                        depths.exported(&export);
                    }
                }
            }
            Payload::MemorySection(memories) => {
                shape.memories += u64::from(memories.count());
                within("has", shape.memories, "memories", "modules.memories_max", bounds.memories_max)?;
            }
            Payload::TableSection(tables) => {
                shape.tables += u64::from(tables.count());
                within("has", shape.tables, "tables", "modules.tables_max", bounds.tables_max)?;
            }
            Payload::CustomSection(custom) if is_for_people(custom.name()) => {
                shape.debug_bytes += custom.data().len() as u64;
            }
            _ => {}
        }
        Ok(())
    }

    /// The sizes of sections, which what it takes to read and validate them grows with.
    fn bytes(&mut self, payload: &Payload<'_>) -> Result<(), Unfit> {
        let (bounds, shape) = (self.settings, &mut self.shape);
        let Some((_, section)) = payload.as_section() else { return Ok(()) };
        let bytes = section.end.saturating_sub(section.start);
        match payload {
            // What is in them comes one by one; custom sections are skipped.
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } | Payload::CustomSection(_) => {}
            Payload::CodeSectionStart { .. } => {
                shape.code_bytes += bytes;
                within("has", shape.code_bytes, "bytes of code", "modules.code_bytes_max", bounds.code_bytes_max)?;
            }
            _ => {
                // Of data counts what stands before it.
                shape.declared_bytes += match payload {
                    Payload::DataSection(data) => DATA_HEAD_BYTES * u64::from(data.count()),
                    _ => bytes,
                };
                let (there, most) = (shape.declared_bytes, bounds.declared_bytes_max);
                within("has", there, "bytes of declarations", "modules.declared_bytes_max", most)?;
            }
        }
        Ok(())
    }

    fn types(&mut self, more: u64) -> Result<(), Unfit> {
        self.shape.types += more;
        within("has", self.shape.types, "types", "modules.types_max", self.settings.types_max)
    }

    fn ports(&mut self, more: u64) -> Result<(), Unfit> {
        self.shape.ports += more;
        within("has", self.shape.ports, "imports and exports", "modules.ports_max", self.settings.ports_max)
    }

    /// More types than are counted can be in a group only where groups are allowed, which validation refuses.
    fn parameters(&mut self, types: &TypeSectionReader<'c>) -> Result<(), Unfit> {
        let Some(open) = self.open.last_mut() else { return Ok(()) };
        for group in types.clone() {
            for ty in group?.types() {
                open.parameters.push(match &ty.composite_type.inner {
                    CompositeInnerType::Func(function) => function.params().len() as u64,
                    _ => 0,
                });
            }
        }
        Ok(())
    }

    fn function(&mut self, body: &FunctionBody<'_>) -> Result<(), Unfit> {
        let mut locals = 0;
        if let Some(Open { functions: Some(functions), parameters, .. }) = self.open.last_mut()
            && let Some(ty) = functions.next().transpose()?
        {
            // A type that there is not is found when it is validated.
            locals += usize::try_from(ty).ok().and_then(|ty| parameters.get(ty)).copied().unwrap_or(0);
        }
        for declared in body.get_locals_reader()? {
            locals += u64::from(declared?.0);
        }
        let (bounds, shape) = (self.settings, &mut self.shape);
        shape.locals = shape.locals.max(locals);
        within("has a function with", locals, "locals", "modules.locals_max", bounds.locals_max)?;
        let (mut targets, mut blocks) = (0, 1);
        let mut operators = body.get_operators_reader()?;
        while !operators.eof() {
            match operators.read()? {
                Operator::Block { .. } | Operator::Loop { .. } | Operator::If { .. } | Operator::BrIf { .. } => {
                    blocks += 1;
                    let weight = locals * blocks;
                    let what = "locals times blocks";
                    within(
                        "has a function of",
                        weight,
                        what,
                        "modules.function_weight_max",
                        bounds.function_weight_max,
                    )?;
                }
                Operator::BrTable { targets: table } => {
                    targets += u64::from(table.len());
                    let what = "targets of branch tables";
                    within(
                        "has a function with",
                        targets,
                        what,
                        "modules.branch_targets_max",
                        bounds.branch_targets_max,
                    )?;
                }
                _ => {}
            }
        }
        shape.branch_targets = shape.branch_targets.max(targets);
        shape.function_weight = shape.function_weight.max(locals * blocks);
        Ok(())
    }
}

/// `it {verb} {there} {what}; at most {most} are taken ({setting})`.
fn within(verb: &str, there: u64, what: &str, setting: &str, most: u64) -> Result<(), Unfit> {
    if there <= most {
        return Ok(());
    }
    Err(Unfit::Excess(format!("it {verb} {there} {what}; at most {most} are taken ({setting})")))
}

fn is_for_people(section: &str) -> bool {
    section == "name" || section == "component-name" || section.starts_with(".debug_")
}
