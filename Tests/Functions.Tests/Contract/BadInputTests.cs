using System.Globalization;
using System.Net.Http.Headers;
using System.Text;
using System.Text.Json.Nodes;
using CsCheck;
using Librarian.Client.Wire;
using Librarian.Tests.Functions.Api;

namespace Librarian.Tests.Functions.Contract;

/// <summary>
/// Thousands of requests that no client would send: each is answered in time, never with a 5xx, failures in the documented shape, and what
/// was refused has changed nothing.
/// </summary>
public abstract class BadInputTests(SharedSite shared, int requests)
{
    private static readonly int Longer = Environment.GetEnvironmentVariable("LIBRARIAN_TEST_LONG") == "1" ? 30 : 1;
    private const int PollInterval = 4;

    /// <summary>
    /// Refusals after which upstream's contract asks for a change: a failed transfer on record (413), an earlier attempt given up (406).
    /// </summary>
    private static readonly int[] RefusalsWithEffects = [406, 413];

    private static readonly TimeSpan InTime = TimeSpan.FromMinutes(3);

    private static readonly Damage[] Damages = Enum.GetValues<Damage>();

    /// <summary>
    /// JSON values that have broken servers before: types, ranges, lengths, times, windows, paths (docs/spec/wire.md#json, W40, W41).
    /// </summary>
    private static readonly string[] Values =
    [
        "null",
        "true",
        "false",
        "0",
        "-1",
        "1",
        "1.0",
        "1.5",
        "-0",
        "1e2",
        "1e400",
        "-1e400",
        "9223372036854775807",
        "9223372036854775808",
        "-9223372036854775808",
        "123456789012345678901234567890",
        "\"\"",
        "\" \"",
        "\"a\"",
        "\"12\"",
        "\"1e3\"",
        "\"NaN\"",
        "\"true\"",
        "\"yes\"",
        "\"ALLOWED\"",
        "\"critical\"",
        "\"" + new string('a', 256) + "\"",
        "\"" + new string('a', 257) + "\"",
        "\"" + new string('é', 256) + "\"",
        "\"" + new string('x', 100_000) + "\"",
        "\"\\u0000\"",
        "\"a\\u0000b\"",
        "\"\\ud800\"",
        "\"\\udc00x\"",
        "\"\\n\"",
        "\"\\u001b[31m\"",
        "\"💥\"",
        "\"'; drop table files; --\"",
        "\"%\"",
        "\"_\"",
        "\"a:b:c\"",
        "\":\"",
        "\"/\"",
        "\"/etc/passwd\"",
        "\"/dev/zero\"",
        "\"..\"",
        "\"../x\"",
        "\"a/../b\"",
        "\"a/../../b\"",
        "\".\"",
        "\"./a\"",
        "\"a//b\"",
        "\"a/\"",
        "\"a/./b\"",
        "\".librarian/x\"",
        "\"" + string.Join('/', Enumerable.Repeat("d", 120)) + "\"",
        "\"0001-01-01T00:00:00\"",
        "\"9999-12-31T23:59:59.999999\"",
        "\"9999-12-31T23:59:59.999999-14:00\"",
        "\"0001-01-01T00:00:00+14:00\"",
        "\"10000-01-01\"",
        "\"2026-02-30\"",
        "\"2026-13-01T25:61:61\"",
        "\"yesterday\"",
        "-62135596800",
        "253402300799.999",
        "99999999999999999",
        "[]",
        "[null]",
        "[[]]",
        "[1]",
        "[\"2026-01-01\"]",
        "[\"2026-01-01\",\"2026-01-02\"]",
        "[\"2026-01-02\",\"2026-01-01\"]",
        "[\"0001-01-01T00:00:00\",\"9999-12-31T23:59:59.999999\"]",
        "[1,2,3]",
        "[\"x\",\"y\"]",
        "[-1,0,9223372036854775807]",
        "{}",
        "{\"a\":1}",
        "{\"hostnames\":[]}",
        "{\"hostnames\":null}",
        "{\"hostnames\":[1]}",
    ];

    private static readonly Gen<Request> Mutations = Gen.Select(
        Gen.Int[0, ContractTable.Endpoints.Count - 1],
        Gen.Select(Gen.Int[0, 50], Gen.Int[0, Values.Length - 1]).List[0, 3],
        Gen.Int[0, 8 * Damages.Length],
        Gen.Int[0, 1000],
        (endpoint, changes, damage, at) =>
            Make(ContractTable.Endpoints[endpoint], changes, damage < Damages.Length ? Damages[damage] : Damage.None, at)
    );

    /// <summary>What is done to the bytes of a body.</summary>
    private enum Damage
    {
        None,
        CutOff,
        NotUtf8,
        RepeatedKey,
        DeepNesting,
        OtherContentType,
        Utf16,
        ByteOrderMark,
        TrailingGarbage,
    }

    [Fact]
    public async Task Request_Mutated_IsNeverA500AndARefusalChangesNothing()
    {
        var before = await shared.FingerprintAsync();
        var sincePoll = new List<string>();
        var refused = 0;
        await Mutations.SampleAsync(
            async request =>
            {
                var (status, body) = await SendAsync(request);
                Assert.True(status is >= 200 and < 500, $"{request} was answered {status} {body}");
                if (status >= 400)
                    Shape.AssertFailure(request.Endpoint, body);
                if (status < 400 || RefusalsWithEffects.Contains(status) || EndsAnUpload(request, status, body))
                {
                    sincePoll.Clear();
                    before = await shared.FingerprintAsync();
                    return;
                }

                refused++;
                sincePoll.Add($"{request} {status}");
                if (sincePoll.Count < PollInterval)
                    return;
                var after = await shared.FingerprintAsync();
                Assert.True(
                    before == after,
                    $"one of these changed something: {string.Join('\n', sincePoll)}\n{SharedSite.Difference(before, after)}"
                );
                sincePoll.Clear();
            },
            iter: requests * Longer,
            threads: 1
        );
        Assert.Equal(before, await shared.FingerprintAsync());
        // Most mutations must really be bad, or the test says little.
        Assert.InRange(refused, requests * Longer / 3, requests * Longer);
    }

    [Theory]
    [InlineData(
        "upload/stage",
        """{"upload_size":1,"upload_checksum":"c","upload_name":"NAME","destination_location":"d/x","uploader":"u"}"""
    )]
    [InlineData(
        "upload/stage",
        """{"upload_size":1,"upload_checksum":"c","upload_name":"n","destination_location":"NAME","uploader":"u"}"""
    )]
    [InlineData(
        "clone/stage",
        """{"upload_size":1,"upload_checksum":"c","upload_name":"NAME","destination_location":"d/x","""
            + """
                "uploader":"u","source":"admin","source_transfer_id":1}
                """
    )]
    [InlineData(
        "clone/batch_stage",
        """{"uploads":[{"upload_size":1,"upload_checksum":"c","upload_name":"n","destination_location":"NAME","""
            + """
                "uploader":"u","source_transfer_id":1}],"source":"admin","total_size":1}
                """
    )]
    public async Task W40_W41_PathThatLeavesItsDirectory_Is400AndNothingIsMade(string path, string json)
    {
        var before = await shared.FingerprintAsync();
        var endpoint = ContractTable.Endpoints.Single(e => e.Path == path);
        foreach (
            var name in new[]
            {
                "/etc/passwd",
                "/dev/zero",
                "..",
                "../x",
                "a/../../b",
                "a/../b",
                ".",
                "",
                "./",
                "//",
                ".librarian/x",
                "a\\u0000b",
                new string('n', 257),
                new string('c', 256) + "/x",
            }
        )
        {
            var (status, body) = await SendAsync(
                new Request(endpoint, Encoding.UTF8.GetBytes(json.Replace("NAME", name, StringComparison.Ordinal)), "application/json")
            );
            Assert.True(status is 400 or 422, $"'{name}' was answered {status} {body}");
        }

        Assert.Equal(before, await shared.FingerprintAsync());
    }

    /// <summary>
    /// A mutated <c>upload/stage</c> can be accepted, and a mutated <c>upload/commit</c> can meet its transfer (<c>true</c> is read as 1).
    /// Nothing was staged, so the answer is a 404 that gives the upload up (docs/spec/wire.md#upload-commit).
    /// </summary>
    private static bool EndsAnUpload(Request request, int status, string body) =>
        request.Endpoint.Path == "upload/commit"
        && status == 404
        && JsonNode.Parse(body)?["reason"]?.GetValue<string>() == Reasons.NotInStaging;

    private static Request Make(Endpoint endpoint, List<(int Field, int Value)> changes, Damage damage, int at)
    {
        var body = JsonNode.Parse(endpoint.Sample)!.AsObject();
        var names = body.Select(p => p.Key).ToList();
        var text = new StringBuilder("{");
        var values = body.ToDictionary(p => p.Key, p => p.Value?.ToJsonString() ?? "null", StringComparer.Ordinal);
        foreach (var (field, index) in changes)
        {
            var value = Values[index];
            if (names.Count == 0)
                break;
            var name = names[field % names.Count];
            // One in eight disappears, and inside a batch the first item's field is meant as often as the list itself.
            if (field % 8 == 7)
                values.Remove(name);
            else if (name == "uploads" && field % 2 == 0)
                values[name] = InItem(field, value);
            else
                values[name] = value;
        }

        text.AppendJoin(',', values.Select(v => $"\"{v.Key}\":{v.Value}"));
        if (damage == Damage.RepeatedKey && names.Count > 0)
            text.Append(values.Count > 0 ? "," : "")
                .Append(CultureInfo.InvariantCulture, $"\"{names[at % names.Count]}\":1,\"{names[at % names.Count]}\":2");
        if (damage == Damage.DeepNesting)
            text.Append(values.Count > 0 ? "," : "").Append("\"deep\":").Append('[', 5000).Append(']', 5000);
        text.Append('}');
        if (damage == Damage.TrailingGarbage)
            text.Append("}{");
        var bytes = damage switch
        {
            Damage.Utf16 => Encoding.Unicode.GetBytes(text.ToString()),
            Damage.ByteOrderMark => [0xef, 0xbb, 0xbf, .. Encoding.UTF8.GetBytes(text.ToString())],
            _ => Encoding.UTF8.GetBytes(text.ToString()),
        };
        if (damage == Damage.CutOff)
            bytes = bytes[..(at % bytes.Length)];
        if (damage == Damage.NotUtf8)
            bytes[at % bytes.Length] = 0xff;
        return new Request(endpoint, bytes, damage == Damage.OtherContentType ? "text/plain" : "application/json");

        static string InItem(int field, string value)
        {
            string[] fields = ["upload_size", "upload_checksum", "upload_name", "destination_location", "uploader", "source_transfer_id"];
            var item = new Dictionary<string, string>
            {
                ["upload_size"] = "-1",
                ["upload_checksum"] = "\"c\"",
                ["upload_name"] = "\"n\"",
                ["destination_location"] = "\"d\"",
                ["uploader"] = "\"u\"",
                ["source_transfer_id"] = "1",
            };
            item[fields[field / 2 % fields.Length]] = value;
            return "[{" + string.Join(',', item.Select(i => $"\"{i.Key}\":{i.Value}")) + "}]";
        }
    }

    protected async Task<(int Status, string Body)> SendAsync(Request request)
    {
        using var message = new HttpRequestMessage(HttpMethod.Post, "/api/v2/" + request.Endpoint.Path)
        {
            Content = new ByteArrayContent(request.Body),
        };
        message.Content.Headers.ContentType = new MediaTypeHeaderValue(request.ContentType);
        message.Headers.TryAddWithoutValidation("Authorization", TestSite.Basic("admin", "adminpw"));
        using var limit = new CancellationTokenSource(InTime);
        using var response = await shared.Http.SendAsync(message, limit.Token);
        return ((int)response.StatusCode, await response.Content.ReadAsStringAsync(limit.Token));
    }

    protected sealed record Request(Endpoint Endpoint, byte[] Body, string ContentType)
    {
        public override string ToString() =>
            $"{Endpoint.Path} {ContentType} {Encoding.Latin1.GetString(Body, 0, Math.Min(Body.Length, 400))}";
    }
}
