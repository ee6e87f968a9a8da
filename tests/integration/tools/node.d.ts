// The little of Node.js that client.ts uses: its whole types would be one more dependency.
declare module "node:fs/promises" {
  export function readFile(path: string): Promise<Uint8Array<ArrayBuffer>>;
}
declare module "node:process" {
  export const argv: string[];
}
