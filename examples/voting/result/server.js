// The page of results: counts what the database has, at every request.
"use strict";
const { readFileSync } = require("fs");
const { createServer } = require("http");
const { Pool } = require("pg");

const choices = process.env.CHOICES.split(",");
const database = new Pool({ password: readFileSync("/run/secrets/password", "utf8").trim(), connectionTimeoutMillis: 3000 });
// A connection that breaks while nobody uses it is no reason to end; the next request makes another one.
database.on("error", (error) => console.log(`a connection broke: ${error.message}`));

async function count() {
  // The worker makes the table; before its first start there are no votes.
  const there = await database.query("SELECT to_regclass('votes') AS name");
  const rows = there.rows[0].name ? (await database.query("SELECT choice, count(*)::int AS votes FROM votes GROUP BY choice")).rows : [];
  const votes = Object.fromEntries(rows.map((row) => [row.choice, row.votes]));
  return Object.fromEntries(choices.map((choice) => [choice, votes[choice] || 0]));
}

function page(votes) {
  const escape = (text) => text.replace(/[&<>"]/g, (sign) => `&#${sign.charCodeAt(0)};`);
  const all = Object.values(votes).reduce((sum, number) => sum + number, 0);
  const lines = Object.entries(votes).map(([choice, number]) =>
    `<dt>${escape(choice)}</dt><dd><meter value="${number}" max="${all || 1}"></meter> ${number}</dd>`);
  return `<!doctype html>\n<title>Result</title>\n<h1>${all} votes</h1>\n<dl>\n${lines.join("\n")}\n</dl>\n`;
}

const server = createServer(async (request, response) => {
  const answer = (status, type, text) => response.writeHead(status, { "Content-Type": type }).end(text);
  try {
    if (request.url === "/") answer(200, "text/html; charset=utf-8", page(await count()));
    else if (request.url === "/votes") answer(200, "application/json", `${JSON.stringify(await count())}\n`);
    else if (request.url === "/health") answer(200, "text/plain", "fine\n");
    else answer(404, "text/plain", "There is no such page.\n");
  } catch (error) {
    console.log(`cannot count: ${error.message}`);
    answer(503, "text/plain", "There is no result at the moment.\n");
  }
});
server.listen(8000, () => console.log("ready"));
// As the first process of a container it has to say itself what ends it.
for (const signal of ["SIGTERM", "SIGINT"]) {
  process.on(signal, () => server.close(() => database.end().then(() => process.exit(0))));
}
