// Page of one model: the chart of its points.
import { followChoices } from "./point_chart.js";

if (document.getElementById("points-chart")) followChoices();
