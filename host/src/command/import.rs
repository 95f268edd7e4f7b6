//! stub
pub struct Report { pub refused: Vec<String> }
impl std::fmt::Display for Report { fn fmt(&self, _f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result { Ok(()) } }
pub async fn run(_t: &str, _s: &crate::store::SharedStore, _k: &crate::store::secrets::HostKey, _m: &crate::message::AccountId, _v: &dyn Fn(&crate::hook::HookRecord) -> Result<(), String>, _n: u64) -> Result<Report, crate::store::StoreError> { todo!() }
