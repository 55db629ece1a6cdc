// The routes of /openapi.json for reading; loads nothing from anywhere else.
"use strict";

function made(tag, properties = {}, ...children) {
  const node = Object.assign(document.createElement(tag), properties);
  node.append(...children);
  return node;
}

function table(rows) {
  return made("table", {}, ...rows.map((cells) => made("tr", {}, ...cells.map((textContent) => made("td", { textContent })))));
}

function kind(schema) {
  const one = schema.anyOf ? schema.anyOf.map(kind).filter((name) => name !== "null").join(" or ") : schema.type || "any";
  return schema.type === "array" ? `list of ${kind(schema.items || {})}` : one;
}

function fields(schema) {
  const must = schema.required || [];
  return table(Object.entries(schema.properties || {}).map(([name, own]) => [must.includes(name) ? `${name} *` : name, kind(own), own.description || ""]));
}

function route(path, method, told, schemas) {
  const box = made("article", { className: "card route" }, made("h2", { textContent: `${method.toUpperCase()} ${path}` }), made("p", { textContent: told.description || "" }));
  for (const [type, { schema }] of Object.entries(told.requestBody ? told.requestBody.content : {})) {
    box.append(made("h3", { textContent: `Takes ${type}` }), fields(schema));
  }
  const good = told.responses["200"] && told.responses["200"].content;
  const given = good && good["application/json"] && good["application/json"].schema;
  if (given && given.$ref) box.append(made("h3", { textContent: "Gives" }), fields(schemas[given.$ref.split("/").pop()]));
  const statuses = Object.entries(told.responses).filter(([status]) => status !== "200").map(([status, { description }]) => [status, description || ""]);
  if (statuses.length) box.append(made("details", {}, made("summary", { textContent: "Errors" }), table(statuses)));
  return box;
}

fetch("/openapi.json").then((answer) => answer.json()).then(({ info, paths, components }) => {
  document.getElementById("title").textContent = `${info.title} ${info.version}`;
  document.getElementById("about").textContent = info.description;
  const routes = Object.entries(paths).flatMap(([path, methods]) => Object.entries(methods).map(([method, told]) => route(path, method, told, components.schemas)));
  document.getElementById("routes").replaceChildren(...routes);
});
