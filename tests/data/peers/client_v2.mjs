// A client on the TypeScript SDK v2, as `tests/clients/sdks.rs` runs it in the directory of the installed packages:
//
//   node client_v2.mjs legacy|auto|REVISION CALLS COMMAND ARGS...
//
// CALLS is a list of {tool, arguments} in JSON. Each line of stdout is one thing that a user of the SDK sees.
import { createRequire } from 'node:module';

const require = createRequire(`${process.cwd()}/`);
const { Client } = require('@modelcontextprotocol/client');
const { StdioClientTransport } = require('@modelcontextprotocol/client/stdio');

const [mode, calls, command, ...args] = process.argv.slice(2);

const see = (what, value) => console.log(JSON.stringify({ [what]: value }));
const failure = ({ code, message }) => ({ error: { code, message } });
const complaints = [];

async function talk(client) {
  see('connected', {
    version: client.getNegotiatedProtocolVersion(),
    server: client.getServerVersion(),
    capabilities: client.getServerCapabilities(),
    instructions: client.getInstructions(),
  });
  see('tools', (await client.listTools()).tools);
  for (const { tool, arguments: values } of JSON.parse(calls)) {
    see(tool, await client.callTool({ name: tool, arguments: values }).catch(failure));
  }
}

const versionNegotiation = { mode: ['legacy', 'auto'].includes(mode) ? mode : { pin: mode } };
const client = new Client({ name: 'test', version: '1' }, { versionNegotiation });
client.onerror = error => complaints.push(error.message);
try {
  await client.connect(new StdioClientTransport({ command, args }));
  await talk(client);
} catch (error) {
  see('failed', failure(error));
}
see('closing', complaints);
await client.close();
see('closed', complaints);
