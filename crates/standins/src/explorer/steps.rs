//! The steps that were seen. They say where a choice leads without a play.
//!
//! A run continues in the same way after the same answers, and the server answers a request by its content. So most
//! schedules are made of steps that were seen in others, and only new steps need a play.

use std::collections::HashMap;

use super::play::{Late, Next, View};
use super::schedule::{Choice, Fate};

/// A hash of the server's content, and a request with its fate.
type Step = (u64, Asked);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Asked {
    /// A run, hashes of all its requests before and of this one, and its fate.
    Run(usize, u64, u64, Fate),
    /// A hash of a late request.
    Late(u64),
}

/// Steps, and what they lead to: the content, and the next request of the run, if it has one.
#[derive(Debug, Default)]
pub(super) struct Steps(HashMap<Step, (u64, Option<Next>)>);

impl Steps {
    /// Takes in that a choice led from one view to another.
    ///
    /// # Panics
    /// If the same step led elsewhere before. Then the runs do not repeat, and a search proves nothing.
    pub(super) fn learn(&mut self, before: &View, choice: Choice, after: &View) {
        let (Some(step), Some(content)) = (step(before, choice), after.content) else { return };
        let next = match choice {
            Choice::Run(run, _) => after.runs.get(run).cloned().flatten(),
            Choice::Land(_) => None,
        };
        let led_to = (content, next);
        let seen = self.0.entry(step).or_insert_with(|| led_to.clone());
        assert_eq!(*seen, led_to, "a step did not repeat: {choice}");
    }

    /// The view after a choice; `None` if its step was not seen.
    pub(super) fn after(&self, before: &View, choice: Choice) -> Option<View> {
        let (content, next) = self.0.get(&step(before, choice)?)?;
        let mut view = View { content: Some(*content), ..before.clone() };
        match choice {
            Choice::Run(run, fate) => {
                let asked = before.runs.get(run)?.as_ref()?;
                view.current = Some(run);
                *view.runs.get_mut(run)? = next.clone();
                if fate.takes_effect() {
                    view.late.iter_mut().for_each(|late| late.part(&asked.touch));
                }
                if fate == Fate::Late {
                    let (number, touch) = (view.late_count, asked.touch.clone());
                    view.late.push(Late { number, hash: asked.hash, touch, is_apart: false });
                    view.late_count += 1;
                }
            }
            Choice::Land(number) => {
                let landed = view.late.remove(view.late.iter().position(|late| late.number == number)?);
                view.late.iter_mut().for_each(|late| late.part(&landed.touch));
            }
        }
        Some(view)
    }
}

/// `None` if the view does not have all that decides what follows.
fn step(before: &View, choice: Choice) -> Option<Step> {
    let asked = match choice {
        Choice::Run(run, fate) => {
            let next = before.runs.get(run)?.as_ref()?;
            Asked::Run(run, next.trace, next.hash, fate)
        }
        Choice::Land(number) => Asked::Late(before.late.iter().find(|late| late.number == number)?.hash),
    };
    Some((before.content?, asked))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use bytes::Bytes;
    use http::Request;

    use super::super::touch::Touch;
    use super::*;

    const ANSWERED: Choice = Choice::Run(0, Fate::Answered);

    fn next(hash: u64, history: u64) -> Option<Next> {
        let touch = Touch::of(&Request::put("/bucket/key").body(Bytes::new()).unwrap());
        let (name, request) = ("run", "PUT /bucket/key".to_owned());
        let (follows_write, has_moved, is_conditional) = (false, true, false);
        Some(Next { touch, follows_write, has_moved, name, request, hash, is_conditional, history, trace: history })
    }

    /// Two runs at these requests before a server with this content.
    fn view(content: u64, runs: [Option<Next>; 2]) -> View {
        View { runs: runs.into(), late: Vec::new(), late_count: 0, current: Some(0), content: Some(content) }
    }

    #[test]
    fn a_step_leads_to_the_same_wherever_the_other_run_is() {
        let mut steps = Steps::default();
        steps.learn(&view(1, [next(10, 5), next(20, 6)]), ANSWERED, &view(2, [next(11, 7), next(20, 6)]));
        let after = |runs| steps.after(&view(1, runs), ANSWERED);
        assert_eq!(after([next(10, 5), None]), Some(view(2, [next(11, 7), None])));
        // Another request, and another past.
        assert_eq!(after([next(12, 5), None]), None);
        assert_eq!(after([next(10, 4), None]), None);
    }

    #[test]
    fn a_late_request_is_on_its_way_until_it_lands() {
        let mut steps = Steps::default();
        let late = Choice::Run(0, Fate::Late);
        steps.learn(&view(1, [next(10, 5), None]), late, &view(1, [next(10, 6), None]));
        let sent = steps.after(&view(1, [next(10, 5), None]), late).unwrap();
        assert_eq!((sent.late_count, sent.late.len(), sent.late[0].hash), (1, 1, 10));
        steps.learn(&sent, Choice::Land(0), &View { content: Some(3), late: Vec::new(), ..sent.clone() });
        let landed = steps.after(&sent, Choice::Land(0)).unwrap();
        assert_eq!((landed.content, landed.late, landed.runs), (Some(3), Vec::new(), sent.runs));
    }

    #[test]
    #[should_panic(expected = "a step did not repeat")]
    fn a_step_that_leads_elsewhere_than_before_ends_the_search() {
        let mut steps = Steps::default();
        for content in [2, 3] {
            steps.learn(&view(1, [next(10, 5), None]), ANSWERED, &view(content, [None, None]));
        }
    }
}
