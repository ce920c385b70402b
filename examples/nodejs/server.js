// A page out of a template, with the name that was asked for.
"use strict";
const { readFileSync } = require("fs");
const { createServer } = require("http");
const mustache = require("mustache");

const template = readFileSync(`${__dirname}/page.html`, "utf8");
const title = process.env.TITLE || "Node.js";

const server = createServer((request, response) => {
  const address = new URL(request.url, "http://any");
  if (address.pathname === "/health") return response.end("fine\n");
  if (address.pathname !== "/") return response.writeHead(404).end("There is no such page.\n");
  const name = address.searchParams.get("name") || "world";
  response.setHeader("Content-Type", "text/html; charset=utf-8");
  return response.end(mustache.render(template, { title, name, version: process.version }));
});
server.listen(3000, () => console.log("listening on port 3000"));
// As the first process of a container it has to say itself what ends it.
for (const signal of ["SIGTERM", "SIGINT"]) process.on(signal, () => server.close(() => process.exit(0)));
