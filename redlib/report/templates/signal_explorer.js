((root, data) => {})(document.getElementById("ID"), DATA);
