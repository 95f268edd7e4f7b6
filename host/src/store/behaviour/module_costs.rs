//! What calls of modules cost.

use super::*;
use crate::store::module_costs::{CostLine, CostQuery, CostSums, Day};

fn line(day: Day, account: Option<&str>, module: &str) -> CostLine {
    CostLine { day, account: account.map(Into::into), module: module.into() }
}

fn sums(calls: u64, memory_bytes_max: u64) -> CostSums {
    CostSums { calls, fuel: calls * 1000, time_us: calls * 10, faults: calls / 2, memory_bytes_max }
}

fn query(modules: &[&str]) -> CostQuery {
    let modules = modules.iter().map(|module| (*module).into()).collect();
    CostQuery { modules, account: None, from: 0, to: Day::MAX, after: None, limit: 100 }
}

pub(crate) async fn costs_are_added_up_by_account_module_and_day(store: SharedStore) {
    let (own, other, operators) = (line(7, Some("a1"), "a1/crm"), line(7, Some("a2"), "a1/crm"), line(7, None, "sms"));
    let later = line(8, Some("a1"), "a1/crm");
    store.add_module_costs(&[]).await.expect("nothing to write");
    let first = [(own.clone(), sums(2, 500)), (other.clone(), sums(4, 1)), (operators.clone(), sums(6, 1))];
    store.add_module_costs(&first).await.expect("written");
    store.add_module_costs(&[(own.clone(), sums(10, 400)), (later.clone(), sums(1, 1))]).await.expect("written");

    let read = async |query: CostQuery| store.module_costs(&query).await.expect("read");
    let mut added = sums(2, 500);
    added.add(&sums(10, 400));
    assert_eq!(
        read(query(&["a1/crm"])).await,
        [(later.clone(), sums(1, 1)), (other.clone(), sums(4, 1)), (own.clone(), added)],
        "the latest day first; the largest memory stays"
    );
    assert_eq!(read(query(&["sms", "none"])).await, [(operators, sums(6, 1))]);
    assert_eq!(read(query(&[])).await, []);
    let of_one = CostQuery { account: Some("a2".into()), ..query(&["a1/crm"]) };
    assert_eq!(read(of_one).await, [(other.clone(), sums(4, 1))]);
    let of_a_day = CostQuery { from: 8, to: 8, ..query(&["a1/crm"]) };
    assert_eq!(read(of_a_day).await, [(later.clone(), sums(1, 1))]);

    let mut after = None;
    for expected in [later, other, own] {
        let page = read(CostQuery { after, limit: 1, ..query(&["a1/crm"]) }).await;
        assert_eq!(page[0].0, expected);
        after = Some(expected);
    }
    assert_eq!(read(CostQuery { after, ..query(&["a1/crm"]) }).await, []);

    assert_eq!(store.prune_module_costs(8).await.expect("pruned"), 3);
    assert_eq!(read(query(&["a1/crm", "sms"])).await.len(), 1);
}
