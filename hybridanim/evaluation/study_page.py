"""Trials -> the page on which people vote: one HTML file, with the clips beside it.

It names no method, needs no network and sends nothing: votes stay in the browser (also through a
reload) until the voter saves them as JSON or CSV. Keys: left, right, down (equal), Backspace (one
answer back), space (from the start).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from .study import QUESTIONS, SCHEMA


@dataclass(frozen=True)
class Shown:
    """The files of one trial, by their places from the page on."""

    trial: str
    left: str
    driver: str
    right: str
    source: str  # a still


def page(study: str, shown: Sequence[Shown], title: str = "Which is better?") -> str:
    """The page as HTML."""
    data: Mapping[str, Any] = {
        "schema": SCHEMA,
        "study": study,
        "questions": [{"id": name, "text": text} for name, text in QUESTIONS.items()],
        "trials": [vars(one) for one in shown],
    }
    text = json.dumps(data, separators=(",", ":")).replace("<", "\\u003c")
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head><body>"
        f'{_BODY.replace("TITLE", escape(title))}<script type="application/json" id="data">{text}'
        f"</script><script>{_SCRIPT}</script></body></html>\n"
    )


_BODY = """
<header><h1>TITLE</h1><p id="place"></p><div class="bar"><i id="done"></i></div></header>
<main id="trial" hidden>
<div class="clips">
<figure><video id="left" muted playsinline preload="auto"></video>
<figcaption>left</figcaption></figure>
<figure><video id="driver" muted playsinline preload="auto"></video>
<figcaption>driver</figcaption></figure>
<figure><video id="right" muted playsinline preload="auto"></video>
<figcaption>right</figcaption></figure>
</div>
<p id="question" role="status"></p>
<div class="answers">
<button data-choice="left">left <kbd>&larr;</kbd></button>
<button data-choice="equal">equal <kbd>&darr;</kbd></button>
<button data-choice="right">right <kbd>&rarr;</kbd></button>
</div>
<div class="below"><figure><img id="source" alt="The picture that both clips animate">
<figcaption>picture</figcaption></figure>
<p class="soft">Space plays from the start, Backspace takes an answer back. The driver moves both
clips; which of them is on which side is random.</p></div>
</main>
<main id="end" hidden><h2>Thank you</h2>
<p>All questions are answered. Save the votes and send the file back.</p></main>
<footer><label>Your name or initials (optional) <input id="voter" maxlength="60"></label>
<button id="json">Save votes (JSON)</button><button id="csv">Save votes (CSV)</button>
<span id="count" class="soft"></span></footer>
"""

_STYLE = """
:root{color-scheme:dark}*{box-sizing:border-box}
body{margin:0 auto;padding:1rem;max-width:1180px;background:#17191d;color:#eceef1;
font:17px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif}
h1{font-size:1.2rem;margin:0}header p{margin:.2rem 0;color:#a0a6af}
.bar{height:5px;background:#30343c;border-radius:3px}.bar i{display:block;height:100%;width:0;
background:#56b4e9;border-radius:3px}
.clips{display:grid;grid-template-columns:1fr .8fr 1fr;gap:.8rem;align-items:center;
margin:1rem 0 .4rem}
figure{margin:0}figcaption{text-align:center;color:#a0a6af;font-size:.9rem}
video,img{display:block;width:100%;background:#000;border-radius:8px}
#question{font-size:1.25rem;text-align:center;margin:.8rem 0}
.answers{display:flex;justify-content:center;gap:1rem}
button{font:inherit;color:inherit;background:#2a2e36;border:1px solid #454b56;border-radius:8px;
padding:.5rem 1.3rem;cursor:pointer}button:hover,button:focus-visible{background:#39404b}
button.picked{background:#0072b2}kbd{opacity:.7}
.below{display:flex;gap:1.2rem;justify-content:center;align-items:center;margin-top:1rem}
.below figure{width:150px;flex:none}.below p{max-width:26rem}
.soft{color:#a0a6af;font-size:.9rem}
footer{display:flex;flex-wrap:wrap;gap:.8rem;align-items:center;margin-top:1.6rem;
border-top:1px solid #30343c;padding-top:.8rem;font-size:.9rem}
input{font:inherit;color:inherit;background:#23262c;border:1px solid #454b56;border-radius:6px;
padding:.25rem .5rem;width:11rem}
@media(max-width:640px){.clips{grid-template-columns:1fr 1fr}
.clips figure:nth-child(2){grid-row:1;grid-column:1/3;width:60%;margin:0 auto}}
"""

_SCRIPT = """
"use strict";
const data=JSON.parse(document.getElementById("data").textContent);
const $=id=>document.getElementById(id);
const places=["left","driver","right"];
const steps=data.trials.flatMap(trial=>data.questions.map(question=>({trial,question})));
const store="study-"+data.study;
let saved=null;
try{saved=JSON.parse(localStorage.getItem(store))}catch{}
const state=saved&&Array.isArray(saved.votes)&&saved.votes.length<=steps.length?saved:
{votes:[],voter:"",anonymous:"voter-"+Math.random().toString(16).slice(2,8)};
const keep=()=>{try{localStorage.setItem(store,JSON.stringify(state))}catch{}};
let shown=null,since=performance.now();
const play=()=>{for(const id of places){$(id).currentTime=0;$(id).play().catch(()=>{})}};
const show=()=>{const at=state.votes.length,step=steps[at];
$("trial").hidden=!step;$("end").hidden=!!step;
$("done").style.width=100*at/Math.max(1,steps.length)+"%";
$("count").textContent=at+" of "+steps.length+" answers";
since=performance.now();
if(!step){for(const id of places)$(id).pause();$("place").textContent="";return}
const number=data.trials.indexOf(step.trial)+1;
$("place").textContent="Comparison "+number+" of "+data.trials.length;
$("question").textContent=step.question.text;
if(shown===step.trial)return;
shown=step.trial;
for(const id of places)$(id).src=shown[id];
$("source").src=shown.source;
play();
const next=data.trials[number];
if(next)for(const id of places){const link=document.createElement("video");
link.preload="auto";link.src=next[id]}};
const answer=choice=>{const step=steps[state.votes.length];
if(!step)return;
const button=document.querySelector('[data-choice="'+choice+'"]');
button.classList.add("picked");setTimeout(()=>button.classList.remove("picked"),150);
state.votes.push({trial:step.trial.trial,question:step.question.id,choice,
seconds:Math.round((performance.now()-since)/100)/10});
keep();show()};
const back=()=>{if(state.votes.length){state.votes.pop();keep();show()}};
const keys={ArrowLeft:()=>answer("left"),ArrowRight:()=>answer("right"),
ArrowDown:()=>answer("equal"),Backspace:back," ":play};
document.addEventListener("keydown",event=>{
if(event.target===$("voter")||event.ctrlKey||event.altKey||event.metaKey||event.repeat)return;
const action=keys[event.key];
if(action){event.preventDefault();action()}});
document.querySelectorAll("[data-choice]").forEach(button=>
button.addEventListener("click",()=>{answer(button.dataset.choice);button.blur()}));
// the driver leads: the others follow its clock, and all start again together
$("driver").addEventListener("timeupdate",()=>{for(const id of ["left","right"]){
const clip=$(id);if(!clip.ended&&Math.abs(clip.currentTime-$("driver").currentTime)>.12)
clip.currentTime=$("driver").currentTime}});
$("driver").addEventListener("ended",play);
$("voter").value=state.voter;
$("voter").addEventListener("input",()=>{state.voter=$("voter").value.trim();keep()});
const voter=()=>state.voter||state.anonymous;
const asJson=()=>JSON.stringify({schema:data.schema,study:data.study,voter:voter(),
created:new Date().toISOString(),votes:state.votes},null,1)+"\\n";
const cell=value=>'"'+String(value).replaceAll('"','""')+'"';
const asCsv=()=>["study,voter,trial,question,choice,seconds",...state.votes.map(vote=>
[data.study,voter(),vote.trial,vote.question,vote.choice,vote.seconds].map(cell).join(","))
].join("\\r\\n")+"\\r\\n";
const save=(text,kind,ending)=>{const link=document.createElement("a");
link.href=URL.createObjectURL(new Blob([text],{type:kind}));
link.download="votes-"+data.study+"-"+voter().replace(/[^\\w-]+/g,"_")+ending;
link.click();setTimeout(()=>URL.revokeObjectURL(link.href),1000)};
$("json").addEventListener("click",()=>save(asJson(),"application/json",".json"));
$("csv").addEventListener("click",()=>save(asCsv(),"text/csv",".csv"));
window.study={data,state,steps,asJson,asCsv};
show();
"""
