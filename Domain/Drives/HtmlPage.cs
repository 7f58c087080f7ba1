using System.Text;

namespace Librarian.Domain.Drives;

/// <summary><c>MANIFEST.html</c>: one page without scripts and external resources. Very long lists end early and say so.</summary>
internal sealed class HtmlPage(Stream stream, ManifestHeader header) : IAsyncDisposable
{
    /// <summary>Most rows of the page; browsers become slow beyond.</summary>
    internal const int MaxRows = 20_000;

    private const string Style = """
        :root {
            color-scheme: light dark; --ink: #1d2733; --soft: #5c6b7a; --line: #dde3ea; --page: #f5f7f9; --card: #fff; --accent: #1f6f8b;
        }
        @media (prefers-color-scheme: dark) {
            :root { --ink: #e4eaf0; --soft: #96a5b4; --line: #2c3844; --page: #12181f; --card: #1a222b; --accent: #6fc3df; }
        }
        * { box-sizing: border-box; }
        body {
            margin: 0; background: var(--page); color: var(--ink);
            font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif;
        }
        main { max-width: 80rem; margin: 0 auto; padding: 3rem 1.5rem 4rem; }
        h1 { margin: 0; font-size: 2.1rem; line-height: 1.2; letter-spacing: -.01em; }
        h2 { margin: 2.75rem 0 .75rem; font-size: 1.2rem; }
        .kind {
            margin: 0 0 .35rem; color: var(--accent);
            font-size: .85rem; font-weight: 600; letter-spacing: .06em; text-transform: uppercase;
        }
        .route { margin: .5rem 0 0; font-size: 1.15rem; color: var(--soft); }
        .route b { color: var(--ink); font-weight: 600; }
        .totals { display: grid; grid-template-columns: repeat(auto-fit, minmax(11rem, 1fr)); gap: 1rem; margin: 2rem 0 0; }
        .totals div { background: var(--card); border: 1px solid var(--line); border-radius: .6rem; padding: .9rem 1.1rem; }
        .totals dt { color: var(--soft); font-size: .85rem; }
        .totals dd { margin: .1rem 0 0; font-size: 1.35rem; font-weight: 600; font-variant-numeric: tabular-nums; }
        .totals small { display: block; color: var(--soft); font-size: .82rem; font-weight: 400; }
        p { max-width: 46rem; }
        code, pre, .check {
            font-family: ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace; font-size: .86em; overflow-wrap: anywhere;
        }
        pre {
            margin: .75rem 0; padding: .8rem 1rem; background: var(--card);
            border: 1px solid var(--line); border-radius: .6rem; white-space: pre-wrap;
        }
        table {
            width: 100%; border-collapse: separate; border-spacing: 0; background: var(--card);
            border: 1px solid var(--line); border-radius: .6rem; font-size: .92rem;
        }
        th { text-align: left; font-weight: 600; color: var(--soft); font-size: .82rem; }
        th, td { padding: .55rem .9rem; vertical-align: top; }
        tbody td { border-top: 1px solid var(--line); }
        td:first-child { overflow-wrap: anywhere; min-width: 14rem; }
        .number { text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums; }
        .time { white-space: nowrap; color: var(--soft); font-variant-numeric: tabular-nums; }
        .check { min-width: 20.5rem; color: var(--soft); font-size: .76rem; line-height: 1.9; }
        .members {
            display: inline-block; margin-left: .4rem; padding: 0 .5rem; border: 1px solid var(--line); border-radius: 1rem;
            color: var(--soft); font-size: .78rem; white-space: nowrap;
        }
        .rest {
            max-width: none; padding: .8rem 1rem; background: var(--card);
            border: 1px solid var(--line); border-left: .3rem solid var(--accent); border-radius: .6rem;
        }
        .facts { display: grid; grid-template-columns: max-content 1fr; gap: .35rem 1.5rem; margin: 0; }
        .facts dt { color: var(--soft); }
        .facts dd { margin: 0; }
        @media (max-width: 75rem) { .check { min-width: 10rem; } }
        @media (max-width: 42rem) {
            .check, .time, th:nth-child(3), th:nth-child(4) { display: none; }
            td:first-child { min-width: 0; }
            .facts { grid-template-columns: 1fr; }
        }
        @media print {
            body { background: none; font-size: 10pt; }
            main { max-width: none; padding: 0; }
            tr { break-inside: avoid; }
            thead { display: table-header-group; }
        }
        """;

    private readonly StreamWriter _text = new(stream, new UTF8Encoding(false), 64 * 1024, leaveOpen: true) { NewLine = "\n" };
    private long _files;

    public ValueTask DisposeAsync() => _text.DisposeAsync();

    internal async Task BeginAsync()
    {
        var (drive, site, destination) = (Escape(header.Drive), Escape(header.Site), Escape(header.Destination));
        var files = Amounts.Count(header.Members, "file", "files");
        var exact = header.Bytes < 1000 ? "in all" : Amounts.Number(header.Bytes) + " bytes";
        await WriteAsync(
            $"""
            <!doctype html>
            <html lang="en">
            <head>
            <meta charset="utf-8">
            <meta name="viewport" content="width=device-width, initial-scale=1">
            <meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
            <title>Drive {drive}, trip {header.Trip}: {site} to {destination}</title>
            <style>
            {Style}
            </style>
            </head>
            <body>
            <main>
            <p class="kind">Librarian drive</p>
            <h1><bdi>{drive}</bdi>, trip {header.Trip}</h1>
            <p class="route">Research data on their way from <b><bdi>{site}</bdi></b> to <b><bdi>{destination}</bdi></b></p>
            <dl class="totals">
            <div><dt>Entries</dt><dd>{Amounts.Number(header.Files)} <small>{files} below data/</small></dd></div>
            <div><dt>Size</dt><dd>{Amounts.Bytes(header.Bytes)} <small>{exact}</small></dd></div>
            <div><dt>Listed on</dt><dd>{header.Created:yyyy-MM-dd} <small>{header.Created:HH:mm:ss} UTC</small></dd></div>
            </dl>
            <h2>Is everything undamaged?</h2>
            <p>In a terminal, in the directory of this file. No output means that every file is what was put on the drive.
            README.txt says more.</p>
            <pre>sha256sum --check --quiet SHA256SUMS</pre>
            <h2>Files</h2>

            """
        );
        if (header.Files > MaxRows)
        {
            var (first, all, others) = (Amounts.Number(MaxRows), Amounts.Number(header.Files), Amounts.Number(header.Files - MaxRows));
            await WriteAsync(
                $"""
                <p class="rest">These are the first {first} of {all} entries. The other {others} are in MANIFEST.jsonl, one on a line.</p>

                """
            );
        }

        await WriteAsync(
            """
            <table>
            <thead><tr><th scope="col">Name below data/</th><th scope="col" class="number">Size</th>
            <th scope="col">Catalogued (UTC)</th><th scope="col">Checksum</th></tr></thead>
            <tbody>

            """
        );
    }

    internal async ValueTask WriteAsync(ManifestFile file)
    {
        if (_files++ >= MaxRows)
            return;
        var members = file.Members is { } count ? $"/ <span class=\"members\">{Amounts.Count(count, "file", "files")}</span>" : "";
        var bytes = Amounts.Count(file.Size, "byte", "bytes");
        await _text.WriteAsync(
            $"""
            <tr><td><bdi>{Escape(file.Name)}</bdi>{members}</td><td class="number" title="{bytes}">{Amounts.Bytes(file.Size)}</td>
            """
        );
        await _text.WriteLineAsync(
            $"""
            <td class="time">{file.CreateTime:yyyy-MM-dd HH:mm:ss}</td><td class="check">{Escape(file.Checksum)}</td></tr>
            """
        );
    }

    internal async Task EndAsync(ManifestSeal seal) =>
        await WriteAsync(
            $"""
            </tbody>
            </table>
            <h2>Is the list genuine?</h2>
            <p>MANIFEST.jsonl is signed; README.txt says how to check it. Ask <bdi>{Escape(header.Site)}</bdi> whether this is its key.</p>
            <dl class="facts">
            <dt>Drive</dt><dd><code>{header.DriveId}</code></dd>
            <dt>SHA-256 of the manifest</dt><dd><code>{seal.Sha256}</code></dd>
            <dt>Key of <bdi>{Escape(header.Site)}</bdi></dt><dd><code>{header.SiteKey}</code></dd>
            <dt>Its fingerprint</dt><dd><code>{header.SiteKey.Fingerprint}</code></dd>
            </dl>
            </main>
            </body>
            </html>

            """
        );

    /// <summary>
    /// Escapes a text for use between tags and in quoted attributes; control characters are shown as in <see cref="ShownText"/>.
    /// </summary>
    internal static string Escape(string text) =>
        text.Shown() is var shown && shown.AsSpan().IndexOfAny("&<>\"'") < 0
            ? shown
            : shown
                .Replace("&", "&amp;", StringComparison.Ordinal)
                .Replace("<", "&lt;", StringComparison.Ordinal)
                .Replace(">", "&gt;", StringComparison.Ordinal)
                .Replace("\"", "&quot;", StringComparison.Ordinal)
                .Replace("'", "&#39;", StringComparison.Ordinal);

    private Task WriteAsync(string html) => _text.WriteAsync(html);
}
