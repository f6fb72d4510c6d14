// Microsoft's SignalR client for Java, played by a test: commands and answers are JSON lines, as in play.cjs.
import com.google.gson.Gson;
import com.google.gson.JsonObject;
import com.microsoft.signalr.HubConnection;
import com.microsoft.signalr.HubConnectionBuilder;
import com.microsoft.signalr.TransportEnum;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.OutputStream;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.TimeUnit;

public class Client {
    record Open(HubConnection connection, String hub) {}

    static final List<Open> opened = new ArrayList<>();
    static final Map<String, Integer> failed = new TreeMap<>();

    public static void main(String[] arguments) throws Exception {
        // The only thing that comes here is that no logging was configured.
        System.setErr(new PrintStream(OutputStream.nullOutputStream()));
        var gson = new Gson();
        var lines = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line; (line = lines.readLine()) != null; ) {
            var command = gson.fromJson(line, JsonObject.class);
            Map<String, Object> answer;
            try {
                answer = command.get("do").getAsString().equals("open") ? open(command) : use();
            } catch (Exception error) {
                answer = Map.of("error", error.toString());
            }
            System.out.println(gson.toJson(answer));
        }
        System.exit(0);
    }

    static Map<String, Object> open(JsonObject command) {
        failed.clear();
        var transport = TransportEnum.valueOf(command.get("transport").getAsString());
        var hubs = new TreeMap<String, Integer>();
        var count = 0;
        for (var index = 0; index < command.get("count").getAsInt(); index++) {
            var connection = HubConnectionBuilder.create(command.get("url").getAsString()).withTransport(transport).build();
            try {
                if (!connection.start().blockingAwait(10, TimeUnit.SECONDS)) throw new Exception("start takes too long");
                var hub = whoAmI(connection);
                opened.add(new Open(connection, hub));
                hubs.merge(hub, 1, Integer::sum);
                count++;
            } catch (Exception error) {
                failed.merge(error.toString(), 1, Integer::sum);
            }
        }
        return Map.of("opened", count, "hubs", hubs, "failed", failed);
    }

    static Map<String, Object> use() throws Exception {
        var moved = 0;
        for (var client : opened) {
            var echo = client.connection.invoke(String.class, "Echo", "grüße").timeout(10, TimeUnit.SECONDS).blockingGet();
            if (!echo.equals("grüße")) throw new Exception("echo: " + echo);
            if (!whoAmI(client.connection).equals(client.hub)) moved++;
        }
        return Map.of("used", opened.size(), "moved", moved, "failed", Map.of());
    }

    static String whoAmI(HubConnection connection) {
        return connection.invoke(String[].class, "WhoAmI").timeout(10, TimeUnit.SECONDS).blockingGet()[0];
    }
}
