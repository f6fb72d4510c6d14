// What the clients that a test plays have in common: commands come as JSON lines on standard input, each is answered with
// one JSON line, and the process ends with its input.
const { createInterface } = require("readline");

// Answers every command with what the function of its name returns, one after another.
async function play(commands) {
  for await (const line of createInterface({ input: process.stdin })) {
    const command = JSON.parse(line);
    let answer;
    try {
      answer = await commands[command.do](command);
    } catch (error) {
      answer = { error: String(error && error.stack) };
    }
    console.log(JSON.stringify(answer));
  }
  process.exit(0);
}

// Runs `one(index)` for every index, so many at a time, and sorts out what went well.
async function all(count, atOnce, one) {
  const done = [];
  const failed = [];
  let next = 0;
  const worker = async () => {
    while (next < count) {
      const index = next++;
      await one(index).then((value) => done.push(value), (error) => failed.push(String(error.message || error)));
    }
  };
  await Promise.all(Array.from({ length: Math.min(count, atOnce) }, worker));
  return { done, failed };
}

// How often each value occurs.
const tally = (values) => values.reduce((seen, value) => ({ ...seen, [value]: (seen[value] || 0) + 1 }), {});

// Rejects when the promise takes longer than a test may wait.
function soon(promise, what, ms = 10000) {
  let timer;
  const late = new Promise((_, reject) => { timer = setTimeout(() => reject(new Error(`not in time: ${what}`)), ms); });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

// Serves on a port of the kernel's choice, prints it, and ends with standard input.
function serve(server) {
  server.listen(0, "127.0.0.1", () => console.log(server.address().port));
  process.stdin.resume().on("end", () => process.exit(0));
}

// Whether this script was started as the server of its protocol, not as a client.
const serving = process.argv[2] === "serve";

module.exports = { play, all, tally, soon, serve, serving };
