// JupyterLab runs a script some time after it inserted the HTML, and may show one output twice: whichever runs first
// claims all copies, each by an id of its own.
((data, explore) => document.querySelectorAll("#THE-ID").forEach((root) => {
  const id = `THE-ID-${Math.random().toString(36).slice(2)}`;
  for (const part of [root, ...root.querySelectorAll("[id], [name], [for], [href]")]) {
    for (const { name, value } of [...part.attributes]) part.setAttribute(name, value.replace("THE-ID", id));
  }
  root.querySelectorAll(".setting, [hidden]").forEach((part) => { part.hidden = !part.hidden; });
  // Else JupyterLab takes the arrow keys for its own.
  root.querySelectorAll("input, button").forEach((control) => { control.dataset.lmSuppressShortcuts = "true"; });
  explore(root, data);
}))(THE_DATA, (root, data) => {
SCRIPT;
});
