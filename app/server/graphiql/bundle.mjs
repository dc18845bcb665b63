/**
 * Bundles the page and Monaco's workers into dist/assets/, each file named with a hash of its
 * contents and with a .gz beside it where that is smaller. Writes dist/manifest.json last: where
 * it is, the bundle is whole.
 */
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { basename } from 'node:path';
import { gzipSync } from 'node:zlib';
import { build } from 'esbuild';

const workers = {
  editor: 'monaco-editor/esm/vs/editor/editor.worker.js',
  graphql: 'monaco-graphql/esm/graphql.worker.js',
  json: 'monaco-editor/esm/vs/language/json/json.worker.js',
};

/** Turns the fonts that style sheets carry as data addresses into files, for `font-src 'self'`. */
const fontsAsFiles = {
  name: 'fonts-as-files',
  setup({ onLoad, onResolve }) {
    const fonts = [];
    onResolve({ filter: /^data:font\// }, ({ path, importer }) => {
      const [, extension, data] = /^data:font\/(\w+);base64,(.+)$/.exec(path);
      const index = fonts.push(data) - 1;
      // The index keeps the fonts apart; only the last part becomes the file's name.
      return { path: `${index}/${basename(importer, '.css')}.${extension}`, namespace: 'font' };
    });
    onLoad({ filter: /./, namespace: 'font' }, ({ path }) => ({
      contents: Buffer.from(fonts[parseInt(path)], 'base64'),
      loader: 'file',
    }));
  },
};

/** Bundles one entry; the answer is the hashed names of its script and, if any, style sheet. */
async function bundle(name, entry, options) {
  const { metafile } = await build({
    entryPoints: { [name]: entry },
    outdir: 'dist/assets',
    entryNames: '[name]-[hash]',
    assetNames: '[name]-[hash]',
    bundle: true,
    minify: true,
    metafile: true,
    target: 'es2022',
    // One copy of graphql, though one package requires it and the others import it.
    mainFields: ['browser', 'module', 'main'],
    logLevel: 'warning',
    ...options,
  });
  const [script, { cssBundle }] = Object.entries(metafile.outputs).find(
    ([, { entryPoint }]) => entryPoint,
  );
  return { script: basename(script), style: cssBundle && basename(cssBundle) };
}

rmSync('dist', { recursive: true, force: true });

const urls = {};
for (const [label, entry] of Object.entries(workers)) {
  urls[label] = (await bundle(`${label}.worker`, entry, { format: 'iife' })).script;
}
const page = await bundle('page', 'page.jsx', {
  format: 'esm',
  jsx: 'automatic',
  // GraphiQL calls its icons, for screen readers too, by the names of their functions.
  keepNames: true,
  loader: { '.ttf': 'file' },
  plugins: [fontsAsFiles],
  define: { WORKERS: JSON.stringify(urls) },
});

for (const file of readdirSync('dist/assets')) {
  const plain = readFileSync(`dist/assets/${file}`);
  const packed = gzipSync(plain, { level: 9 });
  if (packed.length < plain.length * 0.9) writeFileSync(`dist/assets/${file}.gz`, packed);
}
writeFileSync('dist/manifest.json', JSON.stringify(page, null, 2) + '\n');
