use super::*;

const MS: Duration = Duration::from_millis(1);
const BOUNDS: LineBounds =
    LineBounds { waiting_max: 100, share: 2, account_at_once_max: 100, long: Duration::from_millis(20) };

/// Lines whose calls are the names of their modules.
struct Desk {
    lines: Lines<String>,
    now: Instant,
}

/// `account/name`, or the name alone of an operator's module.
fn desk(bounds: LineBounds) -> Desk {
    Desk { lines: Lines::new(bounds), now: Instant::now() }
}

impl Desk {
    fn ask<T>(
        &mut self,
        id: &str,
        mean_ms: u32,
        patience_ms: Option<u32>,
        ask: impl FnOnce(&mut Self, &Asked<'_>) -> T,
    ) -> T {
        let (module, account) = (ModuleId::from(id), id.split_once('/').map(|(account, _)| AccountId::from(account)));
        let asked = Asked {
            module: &module,
            account: account.as_ref(),
            mean: MS * mean_ms,
            patience: patience_ms.map(|patience| MS * patience),
            leaves: true,
            at_once_max: 100,
            account_at_once_max: 100,
        };
        ask(self, &asked)
    }

    fn put_for(&mut self, id: &str, mean_ms: u32, patience_ms: u32) -> Result<bool, NoPlace> {
        self.ask(id, mean_ms, Some(patience_ms), |desk, asked| desk.lines.put(asked, id.to_owned(), desk.now))
    }

    fn put(&mut self, id: &str, count: usize) {
        for _ in 0..count {
            self.ask(id, 0, None, |desk, asked| desk.lines.put(asked, id.to_owned(), desk.now)).expect("a place");
        }
    }

    /// Makes the next call, in so much time.
    fn serve(&mut self, took_ms: impl Fn(&str) -> u32) -> String {
        let (id, turn) = self.lines.take().expect("somebody waits");
        let took = MS * took_ms(&id);
        self.lines.finish(&turn, took);
        id
    }

    fn begin(&mut self) -> Option<(String, Turn)> {
        self.lines.take()
    }
}

#[test]
fn time_is_shared_out_not_calls() {
    let mut desk = desk(BOUNDS);
    desk.put("greedy", 100);
    desk.put("modest", 100);
    let mut used = HashMap::new();
    for _ in 0..110 {
        let id = desk.serve(|id| if id == "greedy" { 10 } else { 1 });
        *used.entry(id).or_insert(0_u32) += 1;
    }
    let (greedy, modest) = (used["greedy"], used["modest"]);
    assert!((95..=100).contains(&modest) && greedy <= 15, "greedy {greedy} calls, modest {modest}");
}

#[test]
fn a_worker_is_left_for_short_calls_however_many_modules_make_long_ones() {
    let mut desk = desk(LineBounds { share: 1, ..BOUNDS });
    for id in ["spin", "hog", "quick"] {
        let mean_ms = if id == "quick" { 1 } else { 20 };
        assert_eq!(desk.put_for(id, mean_ms, 1000), Ok(true));
    }
    let (first, long) = desk.begin().expect("somebody waits");
    let (second, short) = desk.begin().expect("a short call waits");
    assert_eq!((first.as_str(), second.as_str()), ("spin", "quick"));
    assert_eq!(desk.put_for("other", 20, 1000), Ok(false), "nobody has to be woken for it");
    assert!(!desk.lines.has_runnable() && desk.begin().is_none(), "a third worker would keep to short calls");
    desk.lines.finish(&short, MS);
    assert!(desk.begin().is_none());
    desk.lines.finish(&long, MS * 20);
    assert_eq!(desk.begin().expect("its turn has come").0, "hog");
}

#[test]
fn an_account_has_one_share_however_many_modules_it_has() {
    let mut desk = desk(BOUNDS);
    for module in ["many/a", "many/b", "many/c", "many/d"] {
        desk.put(module, 50);
    }
    desk.put("one/a", 50);
    let served: Vec<_> = (0..80).map(|_| desk.serve(|_| 1)).collect();
    let one = served.iter().filter(|id| *id == "one/a").count();
    assert!((39..=41).contains(&one), "{one} of 80");
    let of_b = served.iter().filter(|id| *id == "many/b").count();
    assert!((9..=11).contains(&of_b), "the account's own modules share what it has: {of_b} of 40");
}

#[test]
fn each_of_the_operators_modules_has_a_share_of_its_own() {
    let mut desk = desk(BOUNDS);
    desk.put("sms", 50);
    desk.put("mms", 50);
    desk.put("a/a", 50);
    let served: Vec<_> = (0..30).map(|_| desk.serve(|_| 1)).collect();
    for id in ["sms", "mms", "a/a"] {
        assert_eq!(served.iter().filter(|served| *served == id).count(), 10, "{id}");
    }
}

#[test]
fn no_group_takes_more_workers_than_its_share() {
    let mut desk = desk(BOUNDS);
    desk.put("a/one", 9);
    desk.put("a/two", 9);
    desk.put("sms", 1);
    let running: Vec<_> = std::iter::from_fn(|| desk.begin()).collect();
    let mut ids: Vec<_> = running.iter().map(|(id, _)| id.as_str()).collect();
    ids.sort_unstable();
    assert_eq!(ids, ["a/one", "a/two", "sms"], "two of the account, and the other's");
    assert!(!desk.lines.has_runnable());
    desk.lines.finish(&running[0].1, MS);
    assert!(desk.lines.has_runnable());
}

#[test]
fn a_debt_is_kept_over_a_moment_of_idleness() {
    let mut desk = desk(BOUNDS);
    desk.put("greedy", 1);
    desk.put("modest", 10);
    assert_eq!(desk.serve(|_| 50), "greedy");
    // Its line was empty for a moment.
    desk.put("greedy", 1);
    let served: Vec<_> = (0..11).map(|_| desk.serve(|_| 4)).collect();
    assert_eq!(served.iter().position(|id| id == "greedy"), Some(10), "{served:?}");
}

#[test]
fn idleness_saves_nothing_up() {
    let mut desk = desk(BOUNDS);
    desk.put("idle", 1);
    desk.serve(|_| 1);
    desk.put("busy", 100);
    for _ in 0..50 {
        desk.serve(|_| 10);
    }
    desk.put("idle", 50);
    let served: Vec<_> = (0..20).map(|_| desk.serve(|_| 10)).collect();
    let idle = served.iter().filter(|id| *id == "idle").count();
    assert!((9..=11).contains(&idle), "{idle} of 20");
}

#[test]
fn a_call_that_would_wait_too_long_gets_no_place() {
    let mut desk = desk(BOUNDS);
    // Two workers, 50 ms a call: after eleven, the twelfth would wait for more than 250 ms.
    for n in 0..11 {
        assert!(desk.put_for("slow", 50, 250).is_ok(), "{n}");
    }
    assert_eq!(desk.put_for("slow", 50, 250), Err(NoPlace::TooLong(MS * 275)));
    assert!(desk.put_for("quick", 50, 250).is_ok(), "another's line is none of its business");
    desk.begin().expect("a call");
    desk.begin().expect("a call");
    assert!(desk.put_for("slow", 50, 250).is_ok(), "one that runs does not wait");
}

#[test]
fn the_calls_of_an_accounts_other_modules_are_before_it_too() {
    let mut desk = desk(BOUNDS);
    for _ in 0..11 {
        desk.put_for("a/slow", 50, 250).expect("a place");
    }
    assert_eq!(desk.put_for("a/quick", 1, 250), Err(NoPlace::TooLong(MS * 275)));
    assert!(desk.put_for("b/quick", 1, 250).is_ok());
}

#[test]
fn where_nobody_knows_how_long_calls_take_only_the_number_counts() {
    let mut desk = desk(LineBounds { waiting_max: 3, ..BOUNDS });
    for _ in 0..3 {
        desk.put_for("new", 0, 250).expect("a place");
    }
    assert_eq!(desk.put_for("new", 0, 250), Err(NoPlace::LineFull));
}

#[test]
fn a_call_that_waited_longer_than_was_predicted_is_taken_out() {
    let mut desk = desk(BOUNDS);
    desk.put_for("slow", 0, 250).expect("a place");
    desk.put("patient", 1);
    desk.now += MS * 100;
    desk.put_for("slow", 0, 250).expect("a place");
    assert_eq!(desk.lines.take_out_late(desk.now + MS * 149), Vec::<String>::new());
    assert_eq!(desk.lines.take_out_late(desk.now + MS * 150), ["slow"]);
    assert_eq!(desk.lines.take_out_late(desk.now + MS * 1000), ["slow"]);
    assert_eq!(desk.serve(|_| 1), "patient");
    assert!(!desk.lines.has_runnable());
}

#[test]
fn a_module_runs_no_more_calls_at_once_than_its_limit_in_all_groups_together() {
    let mut lines = Lines::new(BOUNDS);
    let (module, now) = (ModuleId::from("r/offered"), Instant::now());
    let accounts: Vec<AccountId> = ["a", "b", "c"].map(AccountId::from).into();
    for account in &accounts {
        let asked = Asked {
            module: &module,
            account: Some(account),
            mean: MS,
            patience: None,
            leaves: false,
            at_once_max: 2,
            account_at_once_max: 100,
        };
        lines.put(&asked, (), now).expect("a place");
    }
    let turns: Vec<_> = std::iter::from_fn(|| lines.take()).collect();
    assert_eq!(turns.len(), 2);
    lines.finish(&turns[0].1, MS);
    assert!(lines.take().is_some());
}

#[test]
fn an_account_runs_no_more_calls_at_once_than_the_operator_allows() {
    let mut desk = desk(LineBounds { account_at_once_max: 1, ..BOUNDS });
    desk.put("a/one", 1);
    desk.put("a/two", 1);
    desk.put("sms", 2);
    let running: Vec<_> = std::iter::from_fn(|| desk.begin()).collect();
    assert_eq!(running.len(), 3, "one of the account, two of the operator's module");
}

#[test]
fn an_account_may_be_told_to_run_fewer_at_once_and_more_again() {
    let mut lines = Lines::new(BOUNDS);
    let (account, now) = (AccountId::from("a"), Instant::now());
    let modules = ["a/one", "a/two", "a/three"].map(ModuleId::from);
    let put = |lines: &mut Lines<()>, module: usize, most: usize| {
        let module = &modules[module];
        let account = Some(&account);
        let asked = Asked {
            module,
            account,
            mean: MS,
            patience: None,
            leaves: false,
            at_once_max: 100,
            account_at_once_max: most,
        };
        lines.put(&asked, (), now).expect("a place");
        lines.room(&asked, MS * 10)
    };
    assert_eq!(put(&mut lines, 0, 1), 9, "one after the other");
    put(&mut lines, 1, 1);
    let running: Vec<_> = std::iter::from_fn(|| lines.take()).collect();
    assert_eq!(running.len(), 1);
    put(&mut lines, 2, 100);
    assert!(lines.take().is_some(), "it may have as many as others now");
    assert!(lines.take().is_none(), "which is its share");
}

#[test]
fn room_is_what_can_be_served_in_time() {
    let mut desk = desk(BOUNDS);
    let room =
        |desk: &mut Desk, mean_ms| desk.ask("slow", mean_ms, None, |desk, asked| desk.lines.room(asked, MS * 125));
    assert_eq!(room(&mut desk, 50), 5);
    assert_eq!(room(&mut desk, 1000), 1, "it has to get on somehow");
    assert_eq!(room(&mut desk, 0), 1, "one shows how long they take");
    for _ in 0..3 {
        desk.put_for("slow", 50, 250).expect("a place");
    }
    assert_eq!(room(&mut desk, 50), 2);
    assert_eq!(room(&mut desk, 1000), 0);
}

#[test]
fn idle_groups_are_forgotten_when_there_are_many() {
    let mut desk = desk(BOUNDS);
    for n in 0..5000 {
        desk.put(&format!("a{n}/m"), 1);
        desk.serve(|_| 1);
    }
    assert!(desk.lines.groups.len() <= GROUPS_KEPT + 1, "{}", desk.lines.groups.len());
    assert!(desk.lines.running.len() <= GROUPS_KEPT + 1, "{}", desk.lines.running.len());
    assert!(desk.lines.busy.is_empty());
}
