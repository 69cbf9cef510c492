// A client on the TypeScript SDK v1, as `tests/clients/sdks.rs` runs it in the directory of the installed packages:
//
//   node client_v1.mjs legacy CALLS COMMAND ARGS...
//
// CALLS is a list of {tool, arguments} in JSON. Each line of stdout is one thing that a user of the SDK sees.
import { createRequire } from 'node:module';

const require = createRequire(`${process.cwd()}/`);
const { Client } = require('@modelcontextprotocol/sdk/client/index.js');
const { StdioClientTransport } = require('@modelcontextprotocol/sdk/client/stdio.js');

const [mode, calls, command, ...args] = process.argv.slice(2);
if (mode !== 'legacy') throw new Error(`SDK v1 knows no mode ${mode}`);

const see = (what, value) => console.log(JSON.stringify({ [what]: value }));
const failure = ({ code, message }) => ({ error: { code, message } });
const complaints = [];

const client = new Client({ name: 'test', version: '1' });
client.onerror = error => complaints.push(error.message);
await client.connect(new StdioClientTransport({ command, args }));
see('connected', {
  server: client.getServerVersion(),
  capabilities: client.getServerCapabilities(),
  instructions: client.getInstructions(),
});
see('tools', (await client.listTools()).tools);
for (const { tool, arguments: values } of JSON.parse(calls)) {
  see(tool, await client.callTool({ name: tool, arguments: values }).catch(failure));
}
see('closing', complaints);
await client.close();
see('closed', complaints);
