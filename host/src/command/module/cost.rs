//! `module cost`: calls, fuel, time and faults by day.

use clap::Args;

use crate::command::{
    rest::{Host, Refusal},
    table::{Table, print_json, text},
};

#[derive(Debug, Args)]
pub(super) struct Cost {
    /// The module or the transform.
    name: String,
    /// The first day, UTC; 30 days before the last by default.
    #[arg(long, value_name = "YYYY-MM-DD")]
    from: Option<String>,
    /// The last day, UTC; today by default.
    #[arg(long, value_name = "YYYY-MM-DD")]
    to: Option<String>,
}

impl Cost {
    /// Asks for it, and prints it.
    pub(super) async fn print(&self, host: &Host) -> Result<(), Refusal> {
        let path = host.in_account(&["webhook_modules", &self.name, "cost"]).await?;
        let query = [("from", &self.from), ("to", &self.to)];
        let query: Vec<_> = query.into_iter().filter_map(|(name, day)| Some((name, day.clone()?))).collect();
        let days = host.list(&path, &query, None).await?;
        if host.json {
            print_json(&days.into());
            return Ok(());
        }
        let mut table = Table::new(&["day", "module", "calls", "fuel", "ms", "faults", "largest memory"]);
        for day in &days {
            let ms = day["time_us"].as_u64().unwrap_or_default() / 1000;
            table.row([
                text(&day["day"]),
                text(&day["module"]),
                text(&day["calls"]),
                text(&day["fuel"]),
                ms.to_string(),
                text(&day["faults"]),
                text(&day["memory_bytes_max"]),
            ]);
        }
        table.print("nothing was charged in that time");
        Ok(())
    }
}
