//! Which containers of a task may start, which never will, and when the task is over: pure.

use super::end;
use crate::emulator::batch::model::{ContainerEnd, End, TaskContainer};

/// How far a container is.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Stage {
    /// It has not been started.
    Waiting,
    /// It is being started.
    Starting,
    /// Its command runs.
    Running,
    Ended(ContainerEnd),
}

/// A task under way.
#[derive(Clone, Debug)]
pub(super) struct Order<'a> {
    containers: &'a [TaskContainer],
    stages: Vec<Stage>,
    /// The essential container whose end was the task's.
    by: Option<usize>,
}

/// What becomes of a condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outlook {
    Met,
    Open,
    /// It will not be met any more.
    Lost,
}

impl<'a> Order<'a> {
    pub(super) fn of(containers: &'a [TaskContainer]) -> Order<'a> {
        Order { containers, stages: vec![Stage::Waiting; containers.len()], by: None }
    }

    /// Those to be started now. What cannot start any more is over after this.
    pub(super) fn next(&mut self) -> Vec<usize> {
        let mut ready = Vec::new();
        // One that is lost may be what another waits for; the order of definition is not that of dependence.
        let mut again = true;
        while std::mem::take(&mut again) && self.by.is_none() {
            for place in 0..self.stages.len() {
                if self.stages[place] != Stage::Waiting {
                    continue;
                }
                match self.outlook(place) {
                    (Outlook::Met, _) => {
                        self.stages[place] = Stage::Starting;
                        ready.push(place);
                    }
                    (Outlook::Open, _) => {}
                    (Outlook::Lost, why) => {
                        self.ended(place, end::never(&why));
                        again = true;
                    }
                }
            }
        }
        ready
    }

    pub(super) fn began(&mut self, place: usize) {
        self.stages[place] = Stage::Running;
    }

    pub(super) fn ended(&mut self, place: usize, ended: ContainerEnd) {
        self.stages[place] = Stage::Ended(ended);
        if self.containers[place].essential {
            self.by.get_or_insert(place);
        }
    }

    /// Whether an essential container has ended: nothing starts any more, and the others are to stop.
    pub(super) fn is_over(&self) -> bool {
        self.by.is_some()
    }

    /// What is reported of the task, when nothing of it runs.
    pub(super) fn report(self) -> End {
        let ends: Vec<ContainerEnd> = self
            .stages
            .into_iter()
            .map(|stage| match stage {
                Stage::Ended(ended) => ended,
                _ => ContainerEnd::default(),
            })
            .collect();
        let by = self.by.unwrap_or(0);
        if ends.len() > 1 {
            return End::Task { by, containers: ends };
        }
        match ends.into_iter().next().unwrap_or_default() {
            ContainerEnd { exit_code: Some(exit_code), reason, .. } => End::Exited { exit_code, reason },
            ContainerEnd { reason, .. } => End::StartFailed { reason: reason.unwrap_or_default() },
        }
    }

    /// Of all conditions of a container; with the reason when one is lost.
    fn outlook(&self, place: usize) -> (Outlook, String) {
        let mut all = Outlook::Met;
        for (name, condition) in &self.containers[place].depends_on {
            let other = self.containers.iter().position(|other| other.name == *name);
            match other.map_or(Outlook::Lost, |other| self.condition(other, condition)) {
                Outlook::Met => {}
                Outlook::Open => all = Outlook::Open,
                Outlook::Lost => {
                    return (Outlook::Lost, format!("the container {name} that it waits for {}", self.fate(other)));
                }
            }
        }
        (all, String::new())
    }

    fn condition(&self, other: usize, condition: &str) -> Outlook {
        match (condition, &self.stages[other]) {
            (_, Stage::Ended(ended)) if !ended.ran => Outlook::Lost,
            ("SUCCESS", Stage::Ended(ended)) if ended.exit_code != Some(0) => Outlook::Lost,
            (_, Stage::Ended(_)) | ("START", Stage::Running) => Outlook::Met,
            _ => Outlook::Open,
        }
    }

    /// What became of a container that others waited for in vain.
    fn fate(&self, other: Option<usize>) -> String {
        let Some(Stage::Ended(ended)) = other.map(|other| &self.stages[other]) else {
            return "is not in its task".to_owned();
        };
        match (ended.exit_code, &ended.reason) {
            (Some(code), Some(reason)) => format!("exited with code {code}: {reason}"),
            (Some(code), None) => format!("exited with code {code}"),
            (None, reason) => format!("did not start: {}", reason.as_deref().unwrap_or("stopped")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn container(name: &str, essential: bool, depends_on: &[(&str, &str)]) -> TaskContainer {
        let pair = |(name, condition): &(&str, &str)| ((*name).to_owned(), (*condition).to_owned());
        let depends_on = depends_on.iter().map(pair).collect();
        TaskContainer { name: name.to_owned(), essential, depends_on, ..TaskContainer::default() }
    }

    fn exited(code: i32) -> ContainerEnd {
        ContainerEnd { ran: true, exit_code: Some(code), reason: None }
    }

    #[test]
    fn one_container_is_reported_as_ever() {
        let one = [container("", true, &[])];
        for (ended, end) in [
            (exited(3), End::exited(3)),
            (end::never("x"), End::StartFailed { reason: "CannotStartContainerError: x".to_owned() }),
        ] {
            let mut order = Order::of(&one);
            assert_eq!((order.next(), order.is_over()), (vec![0], false));
            order.began(0);
            assert!(order.next().is_empty());
            order.ended(0, ended);
            assert!(order.is_over());
            assert_eq!(order.report(), end);
        }
    }

    #[test]
    fn conditions_are_met_in_their_time() {
        let all = [
            container("main", true, &[("init", "SUCCESS"), ("side", "START"), ("prep", "COMPLETE")]),
            container("init", false, &[]),
            container("side", false, &[]),
            container("prep", false, &[("side", "START")]),
        ];
        let mut order = Order::of(&all);
        assert_eq!(order.next(), [1, 2]);
        order.began(1);
        order.ended(1, exited(0));
        assert!(order.next().is_empty());
        order.began(2);
        assert_eq!(order.next(), [3]);
        order.began(3);
        order.ended(3, exited(9));
        assert_eq!(order.next(), [0], "COMPLETE is met by any exit");
        order.began(0);
        order.ended(0, exited(4));
        assert!(order.is_over() && order.next().is_empty());
        order.ended(2, exited(143));
        let End::Task { by, containers } = order.report() else { panic!("a task") };
        let codes: Vec<Option<i32>> = containers.iter().map(|ended| ended.exit_code).collect();
        assert_eq!((by, codes), (0, vec![Some(4), Some(0), Some(143), Some(9)]));
    }

    #[test]
    fn what_waits_in_vain_never_starts() {
        let all = [
            container("main", true, &[("second", "START")]),
            container("second", false, &[("init", "SUCCESS")]),
            container("init", false, &[]),
        ];
        let mut order = Order::of(&all);
        assert_eq!(order.next(), [2]);
        order.began(2);
        order.ended(2, exited(5));
        assert!(order.next().is_empty());
        assert!(order.is_over(), "the essential one never starts");
        let End::Task { by: 0, containers } = order.report() else { panic!("a task") };
        assert_eq!(
            containers[1].reason.as_deref().unwrap(),
            "CannotStartContainerError: the container init that it waits for exited with code 5"
        );
        let reason = containers[0].reason.as_deref().unwrap();
        assert!(
            reason.contains("the container second that it waits for did not start") && !containers[0].ran,
            "{reason}"
        );
    }
}
