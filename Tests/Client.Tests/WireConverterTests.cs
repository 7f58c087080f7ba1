using System.Globalization;
using System.Text.Json;
using CsCheck;
using Librarian.Client.Wire;

namespace Librarian.Tests.Client;

/// <summary>Tests the rules of docs/spec/wire.md#json for reading and writing, by example and by property.</summary>
public class WireConverterTests
{
    private static readonly Gen<DateTime> s_instants = Gen.Long[0, DateTime.MaxValue.Ticks / 10]
        .Select(static microseconds => new DateTime(microseconds * 10, DateTimeKind.Utc));

    private static readonly string[] s_pieces = ["/", "//", ".", "..", "a", "é b", "...", "\\", "./", "x/"];

    private static readonly Gen<string> s_paths = Gen.Int[0, s_pieces.Length - 1]
        .Array[0, 12]
        .Select(static indexes => string.Concat(indexes.Select(static index => s_pieces[index])));

    [Fact]
    public void Format_AnyMicrosecond_ReadsBackTheSame() =>
        s_instants.Sample(static instant =>
        {
            var text = WireTime.Format(instant);
            return WireTime.TryParse(text, out var back) && back == instant && back.Kind == DateTimeKind.Utc && text.Length is 19 or 26;
        });

    [Fact]
    public void Parse_AnyOffset_IsTheSameInstant() =>
        Gen.Select(Gen.Long[DateTime.UnixEpoch.Ticks / 10, DateTime.UnixEpoch.Ticks / 5], Gen.Int[-14 * 60, 14 * 60])
            .Sample(
                static (microseconds, minutes) =>
                {
                    var instant = new DateTime(microseconds * 10, DateTimeKind.Utc);
                    var there = new DateTimeOffset(instant).ToOffset(TimeSpan.FromMinutes(minutes));
                    return WireTime.TryParse(there.ToString("yyyy-MM-dd'T'HH:mm:ss.ffffffzzz", CultureInfo.InvariantCulture), out var back)
                        && back == instant;
                }
            );

    [Theory]
    [InlineData("\"2026-01-02T03:04:05\"", "2026-01-02T03:04:05")]
    [InlineData("\"2026-01-02 03:04:05.0001\"", "2026-01-02T03:04:05.000100")]
    [InlineData("\"2026-01-02T03:04:05.1234569Z\"", "2026-01-02T03:04:05.123456")]
    [InlineData("\"2026-01-02T03:04\"", "2026-01-02T03:04:00")]
    [InlineData("\"2026-01-02\"", "2026-01-02T00:00:00")]
    [InlineData("\"2026-01-02T03:04:05+0130\"", "2026-01-02T01:34:05")]
    [InlineData("\"2026-01-02T03:04:05-05:00\"", "2026-01-02T08:04:05")]
    [InlineData("\"0001-01-01T00:00:00\"", "0001-01-01T00:00:00")]
    [InlineData("\"0001-01-01T00:00:00+05:00\"", "0001-01-01T00:00:00")]
    [InlineData("\"9999-12-31T23:59:59.999999\"", "9999-12-31T23:59:59.999999")]
    [InlineData("\"9999-12-31T23:59:59.999999-05:00\"", "9999-12-31T23:59:59.999999")]
    [InlineData("1700000000", "2023-11-14T22:13:20")]
    [InlineData("1700000000.25", "2023-11-14T22:13:20.250000")]
    [InlineData("1700000000250", "2023-11-14T22:13:20.250000")]
    [InlineData("\"1700000000\"", "2023-11-14T22:13:20")]
    [InlineData("-1", "1969-12-31T23:59:59")]
    public void Datetime_AcceptedForm_BecomesUtc(string json, string expected) =>
        Assert.Equal(expected, WireTime.Format(Read(json, static j => JsonSerializer.Deserialize(j, WireJson.Wire.DateTime))));

    [Theory]
    [InlineData("\"2026-13-02\"")]
    [InlineData("\"2026-02-30\"")]
    [InlineData("\"2026-01-02T24:00\"")]
    [InlineData("\"yesterday\"")]
    [InlineData("\"\"")]
    [InlineData("true")]
    [InlineData("null")]
    [InlineData("1e300")]
    [InlineData("\"2026-01-02T03:04:05\\n\"")]
    public void Datetime_OtherForm_IsRefused(string json) =>
        Assert.Throws<JsonException>(() => JsonSerializer.Deserialize(json, WireJson.Wire.DateTime));

    [Fact]
    public void Integer_AnyForm_ReadsTheSame() =>
        Gen.Long.Sample(static number =>
            new[] { $"{number}", $"{number}.0", $"\"{number}\"", $"\" {number}.00 \"" }.All(form =>
                JsonSerializer.Deserialize(form, WireJson.Wire.Int64) == number
            )
        );

    [Theory]
    [InlineData("1.5")]
    [InlineData("\"1.5\"")]
    [InlineData("\"\"")]
    [InlineData("\"1e3\"")]
    [InlineData("\".0\"")]
    [InlineData("null")]
    [InlineData("[]")]
    [InlineData("9223372036854775808")]
    [InlineData("1e30")]
    public void Integer_OtherForm_IsRefused(string json) =>
        Assert.Throws<JsonException>(() => JsonSerializer.Deserialize(json, WireJson.Wire.Int64));

    [Theory]
    [InlineData("true", true)]
    [InlineData("0", false)]
    [InlineData("1", true)]
    [InlineData("1.0", true)]
    [InlineData("\"Yes\"", true)]
    [InlineData("\"off\"", false)]
    [InlineData("\"T\"", true)]
    public void Boolean_AcceptedForm_IsRead(string json, bool expected) =>
        Assert.Equal(expected, JsonSerializer.Deserialize(json, WireJson.Wire.Boolean));

    [Theory]
    [InlineData("2")]
    [InlineData("\"maybe\"")]
    [InlineData("null")]
    [InlineData("{}")]
    public void Boolean_OtherForm_IsRefused(string json) =>
        Assert.Throws<JsonException>(() => JsonSerializer.Deserialize(json, WireJson.Wire.Boolean));

    [Theory]
    [InlineData("100", AuthLevel.Admin)]
    [InlineData("2.0", AuthLevel.Callback)]
    [InlineData("true", AuthLevel.ReadOnly)]
    public void IntegerEnum_AcceptedForm_IsRead(string json, AuthLevel expected) =>
        Assert.Equal(expected, JsonSerializer.Deserialize(json, WireJson.Wire.AuthLevel));

    [Theory]
    [InlineData("7")]
    [InlineData("\"1\"")]
    [InlineData("\"ADMIN\"")]
    [InlineData("1.5")]
    public void IntegerEnum_OtherForm_IsRefusedNamingTheValues(string json)
    {
        var error = Assert.Throws<JsonException>(() => JsonSerializer.Deserialize(json, WireJson.Wire.AuthLevel));
        Assert.Contains("0 or 1 or 2 or 3 or 4 or 100", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void WordEnum_EveryValue_IsLowerCaseWithUnderscores()
    {
        Assert.Equal(
            [
                "data_integrity",
                "data_availability",
                "configuration",
                "store_full",
                "programming",
                "librarian_network_availability",
                "transfer",
            ],
            Enum.GetValues<ErrorCategory>().Select(static value => JsonSerializer.Serialize(value, WireJson.Wire.ErrorCategory).Trim('"'))
        );
        Assert.Throws<JsonException>(() => JsonSerializer.Deserialize("\"Critical\"", WireJson.Wire.ErrorSeverity));
        Assert.Throws<JsonException>(() => JsonSerializer.Deserialize("0", WireJson.Wire.ErrorSeverity));
    }

    [Theory]
    [InlineData("", ".")]
    [InlineData("./.", ".")]
    [InlineData("a//b/./c/", "a/b/c")]
    [InlineData("../a/..", "../a/..")]
    [InlineData("/", "/")]
    [InlineData("//a", "//a")]
    [InlineData("///a", "/a")]
    [InlineData("a\\b", "a\\b")]
    public void Normalise_Example_FollowsPosix(string path, string expected) => Assert.Equal(expected, PathText.Normalise(path));

    [Fact]
    public void Normalise_AnyPath_IsIdempotentAndClean() =>
        s_paths.Sample(static path =>
        {
            var normal = PathText.Normalise(path);
            return PathText.Normalise(normal) == normal
                && PathText.IsAbsolute(normal) == path.StartsWith('/')
                && (normal == "." || normal.TrimStart('/').Split('/').All(static part => part != "."))
                && path.Split('/').Count(static part => part == "..") == normal.Split('/').Count(static part => part == "..");
        });

    [Fact]
    public void TimeWindow_WrongLength_IsRefused()
    {
        foreach (var json in new[] { "[]", "[\"2026-01-02\"]", "[1,2,3]", "\"2026-01-02\"", "{}" })
            Assert.Throws<JsonException>(() => JsonSerializer.Deserialize(json, WireJson.Wire.TimeWindow));
        Assert.Equal(
            new TimeWindow(TimeWindow.Earliest, TimeWindow.Latest),
            JsonSerializer.Deserialize("""["0001-01-01T00:00:00","9999-12-31T23:59:59.999999"]""", WireJson.Wire.TimeWindow)
        );
    }

    [Theory]
    [InlineData("""{"upload_size":1,"upload_checksum":"c","upload_name":"n","uploader":"u"}""", "destination_location")]
    [InlineData(
        """{"upload_size":1,"upload_checksum":null,"upload_name":"n","destination_location":"d","uploader":"u"}""",
        "upload_checksum"
    )]
    [InlineData("""{"upload_size":"x","upload_checksum":"c","upload_name":"n","destination_location":"d","uploader":"u"}""", "upload_size")]
    [InlineData("""{"upload_size":1,"upload_checksum":5,"upload_name":"n","destination_location":"d","uploader":"u"}""", "upload_checksum")]
    [InlineData("""{"upload_size":1,"upload_checksum":"c","upload_name":null,"destination_location":"d","uploader":"u"}""", "upload_name")]
    public void Request_BadField_IsRefusedNamingIt(string json, string field)
    {
        var error = Assert.Throws<JsonException>(() => JsonSerializer.Deserialize(json, WireJson.Wire.UploadStageRequest));
        Assert.Contains(field, error.Message + error.Path, StringComparison.Ordinal);
    }

    [Fact]
    public void Request_OptionalFieldsAbsent_TakeTheirDefaults()
    {
        Assert.Equal(new FileSearchRequest(MaxResults: 64), JsonSerializer.Deserialize("{}", WireJson.Wire.FileSearchRequest));
        Assert.True(JsonSerializer.Deserialize("{}", WireJson.Wire.LibrarianListRequest)!.Ping);
        Assert.False(JsonSerializer.Deserialize("""{"instance_id":"7"}""", WireJson.Wire.InstanceDeleteRequest)!.DeleteFile);
    }

    [Fact]
    public void Paths_InRequests_ArriveNormalised()
    {
        var request = JsonSerializer.Deserialize(
            """{"upload_size":1,"upload_checksum":"c","upload_name":"./n/","destination_location":"a//b","uploader":"a//b"}""",
            WireJson.Wire.UploadStageRequest
        )!;
        Assert.Equal(("n", "a/b", "a//b"), (request.UploadName, request.DestinationLocation, request.Uploader));
    }

    [Fact]
    public void NonAsciiText_GoesOutRaw() =>
        Assert.Equal(
            """{"file_name":"é/日本/+'&"}""",
            JsonSerializer.Serialize(new ValidateFileRequest("é/日本/+'&"), WireJson.Wire.ValidateFileRequest)
        );

    [Fact]
    public void Providers_Order_IsKeptAndKindFollowsFields()
    {
        var answer = JsonSerializer.Deserialize(
            """
            {"available_bytes_on_store":1,"store_name":"s","uploads":[],"async_transfer_providers":
            {"z":{"hostnames":["h"],"hostname":"r"},"a":{"destination_endpoint":"g","hostname":"r"},
            "m":{"what":1},"b":{"hostnames":[],"x":[2]}}}
            """,
            WireJson.Wire.CloneBatchStageResponse
        )!;
        Assert.Equal(["z", "a", "m", "b"], answer.AsyncTransferProviders.Keys);
        Assert.Collection(
            answer.AsyncTransferProviders.Values,
            static offer => Assert.Equal("r", Assert.IsType<RsyncProvider>(offer).Hostname),
            static offer => Assert.Equal("g", Assert.IsType<GlobusProvider>(offer).DestinationEndpoint),
            static offer => Assert.IsType<UnknownProvider>(offer),
            static offer => Assert.True(Assert.IsType<LocalProvider>(offer).Extra!.ContainsKey("x"))
        );
        Assert.Contains(
            "\"m\":{\"what\":1},\"b\":{",
            JsonSerializer.Serialize(answer, WireJson.Wire.CloneBatchStageResponse),
            StringComparison.Ordinal
        );
    }

    private static DateTime Read(string json, Func<string, DateTime> read) => read(json);
}
