"""Style sheet and script of report.html, both put inline.

Light and dark follow the reader's system. Without the script the page is complete; the script only
reads values off the plots under the pointer.
"""

STYLE = """
:root{color-scheme:light dark;--page:#f6f6f4;--card:#fff;--ink:#1c1e22;--soft:#62676f;
--rule:#e4e4e0;--event:#d55e00;--warn:#b34d00;--warn-bg:#fdf1e7;--good:#00704f;--good-bg:#e8f5f0;
--c0:#0072b2;--c1:#c47a00;--c2:#b14a86;--c3:#00855f;--c4:#6b5fc7}
@media(prefers-color-scheme:dark){:root{--page:#16181c;--card:#202329;--ink:#eceef1;--soft:#a0a6af;
--rule:#343942;--event:#ff7b2e;--warn:#ffab70;--warn-bg:#33261c;--good:#6ed6ac;--good-bg:#1b2d28;
--c0:#56b4e9;--c1:#f0ad2e;--c2:#e08fbd;--c3:#3ccf9f;--c4:#a79df5}}
*{box-sizing:border-box}
body{margin:0;background:var(--page);color:var(--ink);
font:16px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif}
main{max-width:1080px;margin:0 auto;padding:2.2rem 1.2rem 4rem}
h1{overflow-wrap:anywhere;font-size:1.75rem;line-height:1.2;margin:0 0 .5rem;letter-spacing:-.015em}
h2{font-size:1.15rem;margin:2.6rem 0 .9rem;letter-spacing:-.005em}
p{margin:.4rem 0;max-width:46rem}.lead{font-size:1.08rem}.soft{color:var(--soft)}
a{color:var(--c0)}code{font:.88em ui-monospace,"SF Mono",Menlo,Consolas,monospace;
background:color-mix(in srgb,var(--soft) 14%,transparent);padding:.1em .35em;border-radius:4px;
white-space:nowrap}td code{white-space:normal;overflow-wrap:anywhere}
.cards{display:grid;grid-template-columns:repeat(auto-fit,minmax(128px,1fr));gap:.8rem;
margin:1.5rem 0 0;padding:0;list-style:none}
.cards li,.plot,.panel{background:var(--card);border:1px solid var(--rule);border-radius:10px}
.cards li{padding:.85rem 1rem}.cards b{display:block;font-size:1.6rem;line-height:1.2;
font-weight:650;letter-spacing:-.02em;font-variant-numeric:tabular-nums}
.cards span{color:var(--soft);font-size:.86rem}
.panel{padding:1rem 1.2rem;overflow-x:auto}
.findings{display:grid;gap:.7rem;margin:0;padding:0;list-style:none}
.findings li{border-radius:10px;padding:.8rem 1rem;background:var(--warn-bg);
border-left:4px solid var(--warn)}.findings li.good{background:var(--good-bg);
border-color:var(--good)}.findings strong{display:block}
.plots{display:grid;gap:.9rem}.plot{margin:0;padding:.9rem 1.1rem .6rem}
figcaption{display:flex;flex-wrap:wrap;gap:.1rem .8rem;align-items:baseline;margin-bottom:.6rem}
.unit{color:var(--soft);font-size:.86rem}.legend{display:flex;flex-wrap:wrap;gap:0 1rem;margin:0 0 0
auto;padding:0;list-style:none;font-size:.86rem}.legend b{font-variant-numeric:tabular-nums}
.chip{display:inline-block;width:.8em;height:.8em;border-radius:3px;margin-right:.35em;
vertical-align:-.06em;background:var(--c)}
.line-0{--c:var(--c0)}.line-1{--c:var(--c1)}.line-2{--c:var(--c2)}.line-3{--c:var(--c3)}
.line-4{--c:var(--c4)}.line-5{--c:var(--soft)}
.scroll{overflow-x:auto}.area{position:relative;min-width:560px}
.area svg{display:block;width:100%;height:auto;stroke-linejoin:round}
.area text{font-family:inherit}
.cursor{position:absolute;width:1px;background:var(--ink);opacity:.55;pointer-events:none}
.moments{display:grid;grid-template-columns:repeat(auto-fill,minmax(240px,1fr));gap:.9rem;
align-items:start}
.moments figure{margin:0;background:var(--card);border:1px solid var(--rule);border-radius:10px;
overflow:hidden}.moments img{display:block;width:100%;height:auto}
.moments figcaption{background:var(--card);margin:0;padding:.5rem .8rem;font-size:.86rem;
flex-direction:column}
.source{margin:0;max-width:26rem}.source img{display:block;width:100%;margin-bottom:.6rem}
.moments.wide{grid-template-columns:1fr}.moments figure[data-time]{cursor:pointer}
video{display:block;width:100%;border-radius:10px;background:#111;border:1px solid var(--rule)}
table{border-collapse:collapse;width:100%;font-size:.93rem;font-variant-numeric:tabular-nums}
caption{text-align:left;color:var(--soft);padding-bottom:.5rem;font-size:.9rem}
th,td{text-align:left;padding:.38rem .9rem .38rem 0;border-bottom:1px solid var(--rule);
vertical-align:top}tr:last-child>*{border-bottom:0}th{font-weight:600}
thead th{color:var(--soft);font-weight:500;font-size:.86rem}
.number{text-align:right;white-space:nowrap}.bar{width:40%}.bar i{display:block;height:.75rem;
border-radius:3px;background:var(--c);min-width:2px;margin-top:.35rem}
details{margin-top:.7rem}summary{cursor:pointer;font-weight:600;padding:.2rem 0}
.group th[scope=rowgroup]{padding-top:1rem;color:var(--soft);font-weight:500}
@media(max-width:640px){.wide figure{overflow-x:auto}.moments.wide img{width:58rem}
main{padding:1.4rem .8rem 3rem}.legend{margin-left:0}
.plot{padding:.8rem .8rem .5rem}
.cards{grid-template-columns:1fr 1fr}.bar{display:none}
.moments:not(.wide){grid-template-columns:none;grid-auto-flow:column;grid-auto-columns:82%;overflow-x:auto;
scroll-snap-type:x mandatory}.moments figure{scroll-snap-align:start}
.panel{padding:.8rem}}
@media print{body{background:#fff}.plot,.moments figure,.findings li{break-inside:avoid}}
"""

SCRIPT = """
const data=JSON.parse(document.getElementById("series").textContent);
const plots=[...document.querySelectorAll(".plot")];
const show=share=>{const n=data.time.length;if(!n)return;
const time=data.start+share*(data.end-data.start);let at=n-1;
while(at>0&&data.time[at]>time)at--;
plots.forEach((plot,k)=>{const cursor=plot.querySelector(".cursor");
const {left,right}=plot.querySelector(".area").dataset;
cursor.hidden=false;cursor.style.left=100*(+left+share*(right-left))+"%";
plot.querySelectorAll("[data-line]").forEach(b=>{const line=data.plots[k]?.[b.dataset.line];
b.textContent=line?line[at]:""})})};
const hide=()=>plots.forEach(plot=>{plot.querySelector(".cursor").hidden=true;
plot.querySelectorAll("[data-line]").forEach(b=>b.textContent="")});
plots.forEach(plot=>{const area=plot.querySelector(".area");
area.addEventListener("pointermove",e=>{const box=area.getBoundingClientRect();
const {left,right}=area.dataset,at=(e.clientX-box.left)/box.width;
show(Math.min(1,Math.max(0,(at-left)/(right-left))))});
area.addEventListener("pointerleave",hide)});
const video=document.querySelector("video");
if(video)document.querySelectorAll("figure[data-time]").forEach(figure=>
figure.addEventListener("click",()=>{video.currentTime=figure.dataset.time-data.start;
video.scrollIntoView({behavior:"smooth",block:"center"})}));
"""
