"""The quiz: questions with one right choice, and for every choice the reason why or why not."""

from __future__ import annotations

from collections.abc import Sequence

from taskspace_utils.explore.frame import frame, plain
from taskspace_utils.explore.markup import Html
from taskspace_utils.store import InputError

LIVE = '<ol class="asked"></ol><p class="sum" role="status"></p>'
STYLE = """
.@id ol { padding-left: 1.5rem; margin: 0; }
.@id .asked > li { margin-bottom: 1rem; }
.@id .choices { display: flex; flex-direction: column; gap: .35rem; margin: .4rem 0; }
.@id .choices button { text-align: left; padding: .35rem .6rem; overflow-wrap: anywhere; }
.@id .choices .right { border-color: #0072B2; box-shadow: inset 4px 0 #0072B2; }
.@id .choices .wrong { border-style: dashed; box-shadow: inset 4px 0 #D55E00; }
.@id .why { min-height: 1.5em; }
"""
SCRIPT = """
let first = 0, answered = 0;
const total = data.length;
data.forEach((question, number) => {
  const why = make("p", "why"), buttons = [];
  why.setAttribute("role", "status");
  let tried = false;
  question.choices.forEach((choice, i) => {
    const button = make("button", "", ...text(choice));
    button.type = "button";
    button.setAttribute("aria-pressed", "false");
    button.addEventListener("click", () => {
      const right = i === question.right;
      for (const other of buttons) other.setAttribute("aria-pressed", String(other === button));
      button.classList.add(right ? "right" : "wrong");
      why.replaceChildren(make("strong", "", right ? "Right. " : "Not quite. "),
        ...text(question.why[i]));
      if (!tried) { answered += 1; first += right; }
      tried = true;
      find(".sum").textContent = answered < total ? `${answered} of ${total} answered`
        : `${first} of ${total} right at the first try`;
    });
    buttons.push(button);
  });
  const choices = make("div", "choices", ...buttons), ask = make("div", "", ...text(question.ask));
  ask.id = "@id-" + number;
  choices.setAttribute("role", "group");
  choices.setAttribute("aria-labelledby", ask.id);
  find(".asked").append(make("li", "", ask, choices, why));
});
"""


def quiz(questions: Sequence[dict]) -> Html:
    """Questions to check yourself by; every choice answers with its explanation.

    A choice, an explanation and a question are text; words between backquotes are shown as code.
    On paper and without JavaScript the questions stand with their answers below them.

    Args:
        questions: each with `ask`, `choices` (at least two), `right` (the index of the right
            choice) and `why` (an explanation for each choice).

    Raises:
        InputError: a question lacks one of these, has others, or they do not fit together.
    """
    if not questions:
        raise InputError("a quiz without questions: give at least one")
    for number, question in enumerate(questions, 1):
        _check(number, question)
    keys = ("ask", "choices", "right", "why")
    data = [{key: question[key] for key in keys} for question in questions]
    asked, answers = "", ""
    for one in data:
        choices = "".join(f"<li>{plain(choice)}</li>" for choice in one["choices"])
        asked += f'<li>{plain(one["ask"])}<ol type="a">{choices}</ol></li>'
        letter, reason = "abcdefghij"[one["right"]], plain(one["why"][one["right"]])
        answers += f"<li>({letter}) {reason}</li>"
    still = f"<ol>{asked}</ol><p>Answers</p><ol>{answers}</ol>"
    return frame(data, LIVE, still, SCRIPT, STYLE)


def _check(number: int, question: dict) -> None:
    where = f"question {number}"
    if set(question) != {"ask", "choices", "right", "why"}:
        raise InputError(f"{where} has {', '.join(question)}; it needs ask, choices, right, why")
    choices, right = question["choices"], question["right"]
    if not 2 <= len(choices) <= 10 or len(set(choices)) < len(choices):
        raise InputError(f"{where}: give two to ten choices, each different")
    if isinstance(right, bool) or not isinstance(right, int) or not 0 <= right < len(choices):
        raise InputError(f"{where}: right is {right!r}; it must be 0 to {len(choices) - 1}")
    if len(question["why"]) != len(choices):
        raise InputError(f"{where}: {len(choices)} choices need as many explanations in `why`")
    if not all(str(said).strip() for said in (question["ask"], *choices, *question["why"])):
        raise InputError(f"{where} has an empty text: write every choice and every reason")
